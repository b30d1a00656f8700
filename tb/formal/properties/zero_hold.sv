  // Any lane, and its signals
  (* anyconst *) reg [7:0] lane_number;
  wire [WIDTH-1:0] lane_in = data_i[lane_number*WIDTH +: WIDTH];
  wire [WIDTH-1:0] lane_out = data_o[lane_number*WIDTH +: WIDTH];
  wire lane_zero = zero_o[lane_number];

  reg started = 1'b0;
  reg was_reset = 1'b0;
  reg [WIDTH-1:0] past_out;
  always @(posedge clk_i) {started, was_reset, past_out} <= {1'b1, rst_i, lane_out};

  always @* begin
    // Every lane, 0 to LANES - 1
    any_lane: assume (lane_number < LANES);
    // A lane is told to be zero when it is, and only while lanes are held.
    zero_is_told: assert (lane_zero == (hold_i && lane_in == 0));
    // A lane that is not told to be zero passes.
    others_pass: assert (lane_zero || lane_out == lane_in);
    // A lane that is told to be zero stays as it was, and is 0 after a reset.
    zero_stays: assert (!started || !lane_zero || lane_out == (was_reset ? 0 : past_out));
    // A lane stays at a value that is not zero.
    rests: cover (started && lane_zero && lane_out == 5);
  end
