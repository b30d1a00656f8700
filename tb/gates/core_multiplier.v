// For Yosys' techmap: a multiplier of lookup tables, Booth's with digits of two bits (MacSorley, "High-
// Speed Arithmetic in Binary Computers", 1961).
//
// The products of the PEs have 4 × 4 bits. A DSP block could do them, but there is one for 18 × 18 bits
// every few rows of the device, and the way there and back takes longer than the multiplication.
(* techmap_celltype = "$mul" *)
module core_multiplier (A, B, Y);
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;

  // What Yosys says about the operands: bits that are constant, and bits that are the same net
  parameter _TECHMAP_CONSTMSK_A_ = 0;
  parameter _TECHMAP_CONSTVAL_A_ = 0;
  parameter _TECHMAP_BITS_CONNMAP_ = 0;
  parameter [B_WIDTH*_TECHMAP_BITS_CONNMAP_-1:0] _TECHMAP_CONNMAP_B_ = 0;

  input  [A_WIDTH-1:0] A;
  input  [B_WIDTH-1:0] B;
  output [Y_WIDTH-1:0] Y;

  // Bits of the first operand without its leading zeros.
  function integer needed_a(input integer unused);
    begin
      needed_a = A_WIDTH;
      while (needed_a > 1 && _TECHMAP_CONSTMSK_A_[needed_a-1] && !_TECHMAP_CONSTVAL_A_[needed_a-1]) begin
        needed_a = needed_a - 1;
      end
    end
  endfunction

  // Bits of the second operand without repetitions of its sign.
  function integer needed_b(input integer unused);
    begin
      needed_b = B_WIDTH;
      while (B_SIGNED && needed_b > 1 &&
             _TECHMAP_CONNMAP_B_[(needed_b-1)*_TECHMAP_BITS_CONNMAP_ +: _TECHMAP_BITS_CONNMAP_] ==
             _TECHMAP_CONNMAP_B_[(needed_b-2)*_TECHMAP_BITS_CONNMAP_ +: _TECHMAP_BITS_CONNMAP_]) begin
        needed_b = needed_b - 1;
      end
    end
  endfunction

  localparam A_BITS = needed_a(0) + 1;
  localparam B_BITS = needed_b(0);
  localparam DIGITS = B_SIGNED ? (B_BITS + 1) / 2 : B_BITS / 2 + 1;

  wire signed [A_BITS:0] a = (A_SIGNED && A_BITS > A_WIDTH) ? $signed(A) : $signed({1'b0, A});
  wire [2*DIGITS:0] b =
    {{(2 * DIGITS - B_BITS + 1){B_SIGNED ? B[B_BITS-1] : 1'b0}}, B[B_BITS-1:0], 1'b0};

  // Each digit is −2, −1, 0, 1 or 2; a negative one is inverted, and 1 is added.
  genvar i;
  generate
    for (i = 0; i < DIGITS; i = i + 1) begin : g_digit
      wire [      2:0] digit = b[2*i +: 3];
      wire signed [ A_BITS:0] times = (digit[0] ^ digit[1])                    ? a
                                           : (digit == 3'b011 || digit == 3'b100) ? {a, 1'b0} : 0;
      wire signed [ A_BITS:0] term = times ^ {(A_BITS + 1){digit[2]}};
      wire [Y_WIDTH-1:0] wide = term;
      wire [Y_WIDTH-1:0] sum;
      if (i == 0) assign sum = wide + digit[2];
      else        assign sum = g_digit[i-1].sum + (wide << (2 * i)) + (digit[2] << (2 * i));
    end
  endgenerate

  assign Y = g_digit[DIGITS-1].sum;

endmodule
