`resetall
`timescale 1ns / 1ps
`default_nettype none

// FIFO whose entries are reserved long before they are filled.
//
// A value that has entered the pipeline in front of the FIFO cannot be stopped. So a module that starts
// a value there takes a reservation first, and starts none without a reservation: no value is ever lost.
module output_fifo #(
  // Bits of an entry
  parameter WIDTH = 8,
  // Entries, a power of two, at least 2; enough to cover the pipeline, or it pauses
  parameter DEPTH = 32
) (
  input  wire             clk_i,
  input  wire             rst_i,

  // Reserves a place for one entry that will come
  input  wire             reserve_i,
  output reg              reservable_o,

  // An entry arrives, or a reserved place is given back; only reserved entries may arrive. Never both
  input  wire             valid_i,
  input  wire [WIDTH-1:0] data_i,
  input  wire             drop_i,

  output wire             valid_o,
  input  wire             ready_i,
  output wire [WIDTH-1:0] data_o
);

  localparam POINTER_WIDTH = $clog2(DEPTH);
  localparam [POINTER_WIDTH:0] ALL = DEPTH[POINTER_WIDTH:0];

  reg [WIDTH-1:0] entries [0:DEPTH-1];

  // One bit more than an address needs: full and empty differ.
  reg [POINTER_WIDTH:0] write_pointer;
  reg [POINTER_WIDTH:0] read_pointer;
  reg [POINTER_WIDTH:0] unreserved;

  wire                   pop = valid_o && ready_i;
  // Of an entry that leaves and a place that is given back, which may come in one cycle, a reservation takes
  // one place at once.
  wire                   either = pop || drop_i;
  wire                   both = pop && drop_i;
  reg  [POINTER_WIDTH:0] unreserved_next;
  always @* begin
    unreserved_next = unreserved;
    if (both && !reserve_i)                  unreserved_next = unreserved + 1'b1 + 1'b1;
    else if (both || (either && !reserve_i)) unreserved_next = unreserved + 1'b1;
    else if (reserve_i && !either)           unreserved_next = unreserved - 1'b1;
  end

  assign valid_o      = write_pointer != read_pointer;
  assign data_o       = entries[read_pointer[POINTER_WIDTH-1:0]];

  always @(posedge clk_i) begin
    if (valid_i) begin
      entries[write_pointer[POINTER_WIDTH-1:0]] <= data_i;
    end
  end

  always @(posedge clk_i) begin
    if (rst_i) begin
      write_pointer <= 0;
      read_pointer  <= 0;
      unreserved    <= ALL;
      reservable_o  <= 1'b1;
    end else begin
      if (valid_i) write_pointer <= write_pointer + 1'b1;
      if (pop)     read_pointer  <= read_pointer + 1'b1;
      unreserved   <= unreserved_next;
      reservable_o <= unreserved_next != 0;
    end
  end

endmodule

`resetall
