`resetall
`timescale 1ns / 1ps
`default_nettype none

// Reads a tile's weights, last column first, for the array's shadow registers.
module weight_loader #(
  // Columns of the array
  parameter COLS = 8
) (
  input  wire                    clk_i,
  input  wire                    rst_i,

  // Load the tile at address_i, from the next cycle on; the address, a multiple of COLS, stays until
  // all is loaded
  input  wire                    load_i,
  input  wire [            15:0] address_i,

  // No column in this cycle: the array's swap waits, and what follows it must not overtake it
  input  wire                    hold_i,

  // One column per cycle
  output wire                    valid_o,
  output wire [$clog2(COLS)-1:0] col_o,
  output wire [            15:0] address_o,
  // Nothing is left to load after this cycle
  output wire                    ready_o
);

  localparam COL_WIDTH = $clog2(COLS);
  localparam [COL_WIDTH:0] ALL = COLS[COL_WIDTH:0];

  reg  [COL_WIDTH:0] left;
  wire [COL_WIDTH:0] left_next = left - 1'b1;
  wire [       15:0] offset = {{(16 - COL_WIDTH){1'b0}}, col_o};

  assign valid_o   = left != 0 && !hold_i;
  assign col_o     = left_next[COL_WIDTH-1:0];
  // No adder where none is needed: the way to the memory is long.
  assign address_o = (COLS == 1 << COL_WIDTH) ? address_i | offset : address_i + offset;
  assign ready_o   = left == 0 || (valid_o && left_next == 0);

  always @(posedge clk_i) begin
    if (rst_i)        left <= {(COL_WIDTH + 1){1'b0}};
    else if (load_i)  left <= ALL;
    else if (valid_o) left <= left_next;
  end

endmodule

`resetall
