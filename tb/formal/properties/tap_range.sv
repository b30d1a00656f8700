  // The question of the cycle before, whose answer the outputs are
  reg asked = 1'b0;
  reg [7:0] side;
  reg stride2;
  reg [1:0] padding;
  reg [2:0] tap;
  always @(posedge clk_i) begin
    {asked, side, stride2, padding, tap} <= {1'b1, side_i, stride2_i, padding_i, tap_i};
  end

  // Any output, and the input that it uses; and one in each cycle that is reached
  (* anyconst *) reg [8:0] out;
  (* anyseq *) reg [8:0] some;
  wire signed [15:0] uses = (stride2 ? {6'd0, out, 1'b0} : {7'd0, out}) - padding + $signed({13'd0, tap});
  wire signed [15:0] some_uses = (stride2 ? {6'd0, some, 1'b0} : {7'd0, some}) - padding + $signed({13'd0, tap});
  wire reached = out < out_side_i && uses >= 0 && uses < $signed({8'd0, side});
  wire some_reached = some < out_side_i && some_uses >= 0 && some_uses < $signed({8'd0, side});
  wire [15:0] beyond = first_o + count_o;

  always @* begin
    // A map has a side, a kernel row is one of seven, and the sequencer takes only those that reach the map.
    reaching: assume (side_i != 0 && tap_i <= 3'd6 && (!asked || some_reached));
    // An output is among those answered exactly if its input lies inside the map.
    exactly_those_reached: assert (!asked || reached == (out >= first_o && out < beyond));
    // The input of the first output that is reached
    first_uses_origin: assert (!asked || out != first_o || uses == origin_o);
    // At least one output is reached, and none beyond the end of the output.
    some_are: assert (!asked || count_o != 0 && beyond <= out_side_i);
    // A tap above the map reaches later outputs only, at stride 2.
    first_is_later: cover (asked && stride2 && first_o == 2 && origin_o == 1);
    // The last output alone
    last_alone: cover (asked && first_o == 3 && beyond == out_side_i);
  end
