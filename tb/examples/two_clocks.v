// A matrix-vector multiplier with a clock of its own for the weights, to show what an adapter can
// connect: docs/own-array.md. Lane 0 has the highest bits of each port.

`include "two_clocks.vh"

module two_clocks #(
  // Input and output channels of a tile
  parameter ROWS = 8,
  parameter COLS = 4
) (
  input  wire                          clk_i,
  input  wire                          weight_clk_i,
  // Low for at least 16 cycles
  input  wire                          rst_ni,

  // Weights of one row per cycle of weight_clk_i, row 0 first
  input  wire                          weight_valid_i,
  input  wire [0:COLS*`WEIGHT_BITS-1]  weight_i,

  input  wire                          act_valid_i,
  input  wire [0:ROWS*`ACT_BITS-1]     act_i,

  output reg  [0:COLS*`PSUM_BITS-1]    psum_o
);

  reg [0:ROWS*COLS*`WEIGHT_BITS-1] weights;
  reg [15:0] row;

  always @(posedge weight_clk_i) begin
    if (!rst_ni) begin
      row <= 0;
    end else if (weight_valid_i) begin
      weights[row*COLS*`WEIGHT_BITS +: COLS*`WEIGHT_BITS] <= weight_i;
      row <= (row == ROWS - 1) ? 0 : row + 1;
    end
  end

  pulse pulse (
    .clk_i  (clk_i),
    .rst_ni (rst_ni),
    .valid_i(act_valid_i)
  );

  integer r, c;
  reg signed [`PSUM_BITS-1:0] sum;
  always @(posedge clk_i) begin
    for (c = 0; c < COLS; c = c + 1) begin
      sum = 0;
      for (r = 0; r < ROWS; r = r + 1) begin
        sum = sum + $signed({1'b0, act_i[r*`ACT_BITS +: `ACT_BITS]}) *
                    $signed(weights[(r*COLS+c)*`WEIGHT_BITS +: `WEIGHT_BITS]);
      end
      psum_o[c*`PSUM_BITS +: `PSUM_BITS] <= sum;
    end
  end

endmodule

// Knows when psum_o is valid, and needs 16 cycles of reset for it.
module pulse (
  input wire clk_i,
  input wire rst_ni,
  input wire valid_i
);

  reg       valid;
  reg [4:0] waited = 0;

  always @(posedge clk_i) begin
    valid  <= valid_i && waited[4];
    waited <= rst_ni ? waited : waited[4] ? 5'd1 : waited + 1'b1;
    if (!rst_ni) valid <= 1'b0;
  end

endmodule
