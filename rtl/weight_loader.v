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

  // Load the tile at address_i, from the next cycle on; only while ready_o is high. The address, a
  // multiple of COLS, stays from that next cycle until all is loaded
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
  localparam [COL_WIDTH:0] LAST = ALL - 1'b1;

  reg                 active;
  reg [COL_WIDTH-1:0] col;

  assign valid_o = active && !hold_i;
  assign col_o   = col;
  assign ready_o = !active || (valid_o && col == 0);

  // For a power of two no adder is needed: the path to the memory is long.
  generate
    if (COLS == 1 << COL_WIDTH) begin : g_concatenate
      wire unused = &{1'b0, address_i[COL_WIDTH-1:0]};
      assign address_o = {address_i[15:COL_WIDTH], col};
    end else begin : g_add
      assign address_o = address_i + {{(16 - COL_WIDTH){1'b0}}, col};
    end
  endgenerate

  always @(posedge clk_i) begin
    if (rst_i)        active <= 1'b0;
    else if (load_i)  active <= 1'b1;
    else if (valid_o) active <= col != 0;

    if (load_i)       col <= LAST[COL_WIDTH-1:0];
    else if (valid_o) col <= col - 1'b1;
  end

endmodule

`resetall
