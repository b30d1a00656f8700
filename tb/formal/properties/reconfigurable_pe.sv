  // The array's rows, and the lowest and the highest product of a row. Weights reach from -WEIGHTS to
  // WEIGHTS - 1, activations from 0 to ACTS - 1, and halves of one to HALVES - 1.
  localparam ROWS = 8;
  localparam signed [31:0] ACTS = 1 << ACT_WIDTH;
  localparam signed [31:0] WEIGHTS = 1 << (WEIGHT_WIDTH - 1);
  localparam signed [31:0] LOWEST = -(ACTS - 1) * WEIGHTS;
  localparam signed [31:0] HIGHEST = (ACTS - 1) * (WEIGHTS - 1);
  localparam signed [31:0] SUMS = 1 << (PSUM_WIDTH - 1);

  // Any row of the array: this PE is in that one.
  (* anyconst *) reg [7:0] row;
  wire signed [31:0] above = {24'd0, row};
  wire signed [31:0] psum_north = $signed(psum_i);
  wire signed [31:0] psum_south = $signed(psum_o);
  wire signed [31:0] result_south = $signed(result_o);

  reg started = 1'b0;
  reg was_reset = 1'b0;
  always @(posedge clk_i) {started, was_reset} <= {1'b1, rst_i};

  // What the contract says: the pair that came last, from a swap on that of the swap, and output
  // stationary the one from the north
  reg [2*WEIGHT_WIDTH-1:0] came_last;
  reg [2*WEIGHT_WIDTH-1:0] in_use;
  reg came = 1'b0;
  reg used = 1'b0;
  wire [2*WEIGHT_WIDTH-1:0] used_now =
    output_stationary_i ? weight_north_i : start_i ? came_last : in_use;
  wire used_known = output_stationary_i || (start_i ? came : used);

  wire signed [WEIGHT_WIDTH-1:0] first_weight = $signed(used_now[WEIGHT_WIDTH-1:0]);
  wire signed [WEIGHT_WIDTH-1:0] second_weight = $signed(used_now[2*WEIGHT_WIDTH-1:WEIGHT_WIDTH]);
  wire signed [31:0] weight_0 = first_weight;
  wire signed [31:0] weight_1 = second_weight;
  // With ZERO_GATING, a half that is told to be zero is 0, whatever its bits.
  wire [1:0] told_zero = ZERO_GATING != 0 ? act_zero_i : 2'b00;
  wire signed [31:0] act_0 = told_zero[0] ? 0 : {{(32 - ACT_WIDTH / 2){1'b0}}, act_i[ACT_WIDTH/2-1:0]};
  wire signed [31:0] act_1 = told_zero[1] ? 0 : {{(32 - ACT_WIDTH / 2){1'b0}}, act_i[ACT_WIDTH-1:ACT_WIDTH/2]};
  wire signed [31:0] act = act_0 + (act_1 <<< (ACT_WIDTH / 2));
  wire signed [31:0] wanted = halves_i ? act_0 * weight_0 + act_1 * weight_1 : act * weight_0;

  // The sum so far, of which the first step is known
  reg signed [31:0] so_far;
  reg so_far_known = 1'b0;
  wire signed [31:0] base = !output_stationary_i ? psum_north : start_i ? 0 : so_far;
  wire base_known = !output_stationary_i || start_i || so_far_known;

  reg past_stationary = 1'b0;
  reg past_last = 1'b0;
  reg past_drain = 1'b0;
  reg past_start = 1'b0;
  reg signed [31:0] past_north;
  reg signed [31:0] past_result;
  reg [HOPS_WIDTH-1:0] past_hops;
  reg [ACT_WIDTH-1:0] past_act;
  reg [1:0] past_zero;

  always @(posedge clk_i) begin
    if (weight_hops_i != 0) {came, came_last} <= {1'b1, weight_i};
    {used, in_use} <= {used_known, used_now};
    so_far          <= base + wanted;
    so_far_known    <= base_known && used_known;
    past_stationary <= output_stationary_i;
    past_last       <= last_i;
    past_drain      <= drain_i;
    past_start      <= start_i;
    past_north      <= $signed(result_i);
    past_result     <= result_south;
    past_hops       <= weight_hops_i;
    past_act        <= act_i;
    past_zero       <= told_zero;
  end

  always @* begin
    // Every row of the array, 0 to ROWS - 1
    any_row: assume (row < ROWS);
    // The psum from the north is one that the `row` rows above can produce.
    psum_of_rows_above: assume (psum_north >= above * LOWEST && psum_north <= above * HIGHEST);
    // An activation that is not halved has one weight.
    one_weight: assume (halves_i || weight_0 == weight_1);
    // A block has no more steps than its sum has bits for.
    sum_fits: assume (!output_stationary_i || !base_known || (base + wanted >= -SUMS && base + wanted < SUMS));
  end

  always @* begin
    // The contract's weights and sums are the registers'.
    lemma_weights: assert ((!came || came_last == shadow) && (!used || in_use == active));
    // The sum is that of the north, or the one so far, and the products with the weights in use.
    exact_sum: assert (!so_far_known || psum_south == so_far);
    // A psum stays within what the rows up to this one can produce: nothing overflows.
    no_overflow: assert (!started || past_stationary || !so_far_known
      || (psum_south >= (above + 1) * LOWEST && psum_south <= (above + 1) * HIGHEST));
    // A complete sum becomes the result, whatever is drained.
    last_is_result: assert (!past_last || !so_far_known || result_south == so_far);
    // Otherwise the result comes from the north if it is drained, and stays if not.
    results_move: assert (!started || past_last || result_south == (past_drain ? past_north : past_result));
    // The pair that came last goes east, and the one in use goes south.
    weights_pass: assert ((!came || weight_o == came_last) && (!used || weight_south_o == in_use));
    // A weight has one PE fewer to reach in the next PE, and none after a reset.
    hops_count_down: assert (!started || weight_hops_o == (was_reset || past_hops == 0 ? 0 : past_hops - 1));
    // The tokens go east a cycle later, but not through a reset.
    tokens_pass: assert (!started || {start_o, last_o, drain_o} == (was_reset ? 3'b0 : {past_start, past_last, past_drain}));
    // The activation goes east a cycle later, and which halves are told to be zero.
    act_passes: assert (!started || {act_zero_o, act_o} == {past_zero, past_act});
    // In the last row, the most negative psum of all
    lowest_psum: cover (so_far_known && row == ROWS - 1 && psum_south == ROWS * LOWEST);
    // In the last row, the most positive psum of all
    highest_psum: cover (so_far_known && row == ROWS - 1 && psum_south == ROWS * HIGHEST);
    // A sum of two steps becomes a result while another one comes from the north.
    sum_of_two: cover (past_last && past_drain && !past_start && so_far_known && past_stationary && result_south == 100);
    // Two activations of half the bits give a sum.
    halved: cover (so_far_known && halves_i && past_stationary && psum_south == -48);
  end
