// A matrix-vector multiplier with unpacked arrays and a packed struct as ports, to show what an
// adapter can connect: docs/own-array.md. For Verilator.

package struct_array_types;
  typedef struct packed {
    logic            valid;
    logic [7:0][3:0] act;  // row 0 in the lowest bits
  } pixel_t;
endpackage

module struct_array
  import struct_array_types::*;
(
  input  logic               clk_i,
  input  logic               rst_i,

  // Weights of one row per cycle, last row first
  input  logic               load_i,
  input  logic signed [ 3:0] weight_i [8],

  input  pixel_t             pixel_i,

  output logic               valid_o,
  output logic signed [15:0] psum_o [8]
);

  logic signed [3:0] weights [8][8];

  always_ff @(posedge clk_i) begin
    if (load_i) begin
      for (int row = 7; row > 0; row--) weights[row] <= weights[row-1];
      weights[0] <= weight_i;
    end
    valid_o <= pixel_i.valid && !rst_i;
    for (int col = 0; col < 8; col++) begin
      automatic logic signed [15:0] sum = 0;
      for (int row = 0; row < 8; row++) sum += 16'(signed'({1'b0, pixel_i.act[row]})) * 16'(weights[row][col]);
      psum_o[col] <= sum;
    end
  end

endmodule
