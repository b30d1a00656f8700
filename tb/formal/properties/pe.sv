  // The array's rows, activations from 0 to HIGHEST_ACT, weights from -LOWEST_WEIGHT to LOWEST_WEIGHT - 1
  localparam ROWS = 8;
  localparam HIGHEST_ACT = (1 << ACT_WIDTH) - 1;
  localparam LOWEST_WEIGHT = 1 << (WEIGHT_WIDTH - 1);

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
    // The psum from the north is what the rows above can produce, and those are `row` many.
    psum_of_rows_above: assume (psum_north >= -above * HIGHEST_ACT * LOWEST_WEIGHT &&
                                psum_north <= above * HIGHEST_ACT * (LOWEST_WEIGHT - 1));
  end

  // What the contract says: the weight that came last, and from a swap on that of the swap
  reg signed [WEIGHT_WIDTH-1:0] came_last;
  reg signed [WEIGHT_WIDTH-1:0] in_use;
  reg came = 1'b0;
  reg used = 1'b0;
  wire signed [WEIGHT_WIDTH-1:0] used_now = swap_i ? came_last : in_use;
  wire used_known = swap_i ? came : used;

  reg signed [31:0] exact;
  reg exact_known = 1'b0;
  reg [HOPS_WIDTH-1:0] past_hops;
  reg past_swap;
  reg [ACT_WIDTH-1:0] past_act;

  always @(posedge clk_i) begin
    if (weight_hops_i != 0) {came, came_last} <= {1'b1, weight_i};
    {used, in_use} <= {used_known, used_now};
    exact       <= psum_north + $signed({{(32 - ACT_WIDTH){1'b0}}, act_i}) * used_now;
    exact_known <= used_known;
    past_hops   <= weight_hops_i;
    past_swap   <= swap_i;
    past_act    <= act_i;
  end

  always @* begin
    // The contract's weights are the registers'.
    lemma_weights: assert ((!came || came_last == shadow) && (!used || in_use == active));
    // The sum is psum_i + activation × weight in use, exactly.
    exact_sum: assert (!exact_known || psum_south == exact);
    // The sum stays within what the rows up to this one can produce: nothing overflows.
    no_overflow: assert (!started || (psum_south >= -(above + 1) * HIGHEST_ACT * LOWEST_WEIGHT &&
                                      psum_south <= (above + 1) * HIGHEST_ACT * (LOWEST_WEIGHT - 1)));
    // The weight that came last is passed on.
    weight_passes: assert (!came || weight_o == came_last);
    // A weight has one PE fewer to reach in the next PE, and none after a reset.
    hops_count_down: assert (!started || weight_hops_o == (was_reset || past_hops == 0 ? 0 : past_hops - 1));
    // The swap goes east a cycle later, but not through a reset.
    swap_passes: assert (!started || swap_o == (past_swap && !was_reset));
    // The activation goes east a cycle later.
    act_passes: assert (!started || act_o == past_act);
    // In the last row, the most negative psum of all
    lowest_psum: cover (exact_known && row == ROWS - 1 && psum_south == -ROWS * HIGHEST_ACT * LOWEST_WEIGHT);
    // A weight that came after the swap does not disturb the one in use.
    weight_behind_swap: cover (used && came && in_use != came_last && exact == 105);
  end
