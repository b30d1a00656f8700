  // Any lane, and its cycles
  (* anyconst *) reg [7:0] lane_number;
  wire [7:0] cycles = REVERSE ? LANES - 1 - lane_number : lane_number;
  wire [WIDTH-1:0] lane_in = data_i[lane_number*WIDTH +: WIDTH];
  wire [WIDTH-1:0] lane_out = data_o[lane_number*WIDTH +: WIDTH];

  // One word, of any cycle: what is to come of it, and how long ago it entered. A reset makes it zero.
  (* anyseq *) wire mark;
  reg marked = 1'b0;
  reg [WIDTH-1:0] entered;
  reg [7:0] age = 8'd0;
  reg reset_seen = 1'b0;
  reg [7:0] since_reset = 8'd0;

  always @(posedge clk_i) begin
    if (mark && (!marked || age > cycles)) begin
      {marked, entered, age} <= {1'b1, rst_i ? {WIDTH{1'b0}} : lane_in, 8'd1};
    end else begin
      if (age != 8'd255) age <= age + 8'd1;
      if (rst_i) entered <= {WIDTH{1'b0}};
    end
    if (rst_i)                       {reset_seen, since_reset} <= {1'b1, 8'd1};
    else if (since_reset != 8'd255)  since_reset <= since_reset + 8'd1;
  end

  always @* begin
    // Every lane, 0 to LANES - 1
    any_lane: assume (lane_number < LANES);
    // Lane r is delayed by exactly r cycles; by LANES - 1 - r where the skew is undone.
    delayed: assert (cycles == 0 ? lane_out == lane_in : !marked || age != cycles || lane_out == entered);
    // A reset clears what is under way.
    reset_clears: assert (!reset_seen || since_reset > cycles || lane_out == 0);
    // A word leaves the lane that waits longest.
    leaves: cover (marked && age == LANES - 1 && cycles == LANES - 1 && lane_out != 0);
  end
