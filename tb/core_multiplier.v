// For Yosys' techmap: a multiplier of lookup tables, as the sum of the shifted first operands.
//
// The products of the PEs have 4 × 4 bits. A DSP block would do, but there is one for 18 × 18 bits every
// few rows of the device, and the way there and back takes longer than the multiplication.
(* techmap_celltype = "$mul" *)
module core_multiplier (A, B, Y);
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;

  input  [A_WIDTH-1:0] A;
  input  [B_WIDTH-1:0] B;
  output [Y_WIDTH-1:0] Y;

  wire [Y_WIDTH-1:0] a = A_SIGNED ? $signed(A) : A;

  genvar i;
  generate
    for (i = 0; i < B_WIDTH; i = i + 1) begin : g_bit
      wire [Y_WIDTH-1:0] term = B[i] ? a << i : {Y_WIDTH{1'b0}};
      wire [Y_WIDTH-1:0] sum;
      if (i == 0)                              assign sum = term;
      else if (B_SIGNED && i == B_WIDTH - 1)   assign sum = g_bit[i-1].sum - term;
      else                                     assign sum = g_bit[i-1].sum + term;
    end
  endgenerate

  assign Y = g_bit[B_WIDTH-1].sum;
endmodule
