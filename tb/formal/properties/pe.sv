  // The array's rows, and the lowest and the highest product of a row. Weights reach from -WEIGHTS to
  // WEIGHTS - 1, unsigned activations from 0 to 2 * ACTS - 1, signed ones from -ACTS to ACTS - 1.
  localparam ROWS = 8;
  localparam signed [31:0] ACTS = 1 << (ACT_WIDTH - 1);
  localparam signed [31:0] WEIGHTS = 1 << (WEIGHT_WIDTH - 1);
  localparam signed [31:0] LOWEST = ACT_SIGNED == 0 ? -(2 * ACTS - 1) * WEIGHTS
    : ACTS > WEIGHTS ? -(ACTS - 1) * WEIGHTS : -ACTS * (WEIGHTS - 1);
  localparam signed [31:0] HIGHEST = ACT_SIGNED == 0 ? (2 * ACTS - 1) * (WEIGHTS - 1) : ACTS * WEIGHTS;

  // Any row of the array: this PE is in that one.
  (* anyconst *) reg [7:0] row;
  wire signed [31:0] above = {24'd0, row};
  wire signed [31:0] psum_north = $signed(psum_i);
  wire signed [31:0] psum_south = $signed(psum_o);

  reg started = 1'b0;
  reg was_reset = 1'b0;
  always @(posedge clk_i) {started, was_reset} <= {1'b1, rst_i};

  always @* begin
    // Every row of the array, 0 to ROWS - 1
    any_row: assume (row < ROWS);
    // The psum from the north is one that the `row` rows above can produce.
    psum_of_rows_above: assume (psum_north >= above * LOWEST && psum_north <= above * HIGHEST);
  end

  // What the contract says: the weight that came last, and from a swap on that of the swap
  reg signed [WEIGHT_WIDTH-1:0] came_last;
  reg signed [WEIGHT_WIDTH-1:0] in_use;
  reg came = 1'b0;
  reg used = 1'b0;
  wire signed [WEIGHT_WIDTH-1:0] used_now = swap_i ? came_last : in_use;
  wire used_known = swap_i ? came : used;

  // With ZERO_GATING, an activation that is told to be zero is 0, whatever its bits.
  wire told_zero = ZERO_GATING != 0 && act_zero_i;
  wire signed [31:0] act_unsigned = told_zero ? 0 : {{(32 - ACT_WIDTH){1'b0}}, act_i};
  wire signed [31:0] act = ACT_SIGNED != 0 && act_unsigned >= ACTS ? act_unsigned - 2 * ACTS : act_unsigned;
  reg signed [31:0] exact;
  reg exact_known = 1'b0;
  reg [HOPS_WIDTH-1:0] past_hops;
  reg past_swap;
  reg past_zero;
  reg [ACT_WIDTH-1:0] past_act;

  always @(posedge clk_i) begin
    if (weight_hops_i != 0) {came, came_last} <= {1'b1, weight_i};
    {used, in_use} <= {used_known, used_now};
    exact       <= psum_north + act * used_now;
    exact_known <= used_known;
    past_hops   <= weight_hops_i;
    past_swap   <= swap_i;
    past_zero   <= told_zero;
    past_act    <= act_i;
  end

  always @* begin
    // The contract's weights are the registers'.
    lemma_weights: assert ((!came || came_last == shadow) && (!used || in_use == active));
    // The sum is psum_i + activation × weight in use, exactly.
    exact_sum: assert (!exact_known || psum_south == exact);
    // The sum stays within what the rows up to this one can produce: nothing overflows.
    no_overflow: assert (!started || (psum_south >= (above + 1) * LOWEST && psum_south <= (above + 1) * HIGHEST));
    // The weight that came last is passed on.
    weight_passes: assert (!came || weight_o == came_last);
    // A weight has one PE fewer to reach in the next PE, and none after a reset.
    hops_count_down: assert (!started || weight_hops_o == (was_reset || past_hops == 0 ? 0 : past_hops - 1));
    // The swap goes east a cycle later, but not through a reset.
    swap_passes: assert (!started || swap_o == (past_swap && !was_reset));
    // The activation goes east a cycle later, and that it is told to be zero.
    act_passes: assert (!started || {act_zero_o, act_o} == {past_zero, past_act});
    // In the last row, the most negative psum of all
    lowest_psum: cover (exact_known && row == ROWS - 1 && psum_south == ROWS * LOWEST);
    // In the last row, the most positive psum of all
    highest_psum: cover (exact_known && row == ROWS - 1 && psum_south == ROWS * HIGHEST);
    // A weight that came after the swap does not disturb the one in use.
    weight_behind_swap: cover (used && came && in_use != came_last && exact == 105);
  end
