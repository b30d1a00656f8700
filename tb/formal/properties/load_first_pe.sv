  localparam ROWS = 8;
  localparam HIGHEST_ACT = (1 << ACT_WIDTH) - 1;
  localparam LOWEST_WEIGHT = 1 << (WEIGHT_WIDTH - 1);

  // Any row of the array: this PE is in that one.
  (* anyconst *) reg [7:0] row;
  wire signed [31:0] above = {24'd0, row};
  wire signed [31:0] psum_north = $signed(psum_i);
  wire signed [31:0] psum_south = $signed(psum_o);

  // The weight that came last, the exact sum, and what goes on
  reg started = 1'b0;
  reg came = 1'b0;
  reg signed [WEIGHT_WIDTH-1:0] came_last;
  reg exact_known = 1'b0;
  reg signed [31:0] exact;
  reg [ACT_WIDTH-1:0] past_act;
  always @(posedge clk_i) begin
    started <= 1'b1;
    if (load_i) {came, came_last} <= {1'b1, weight_i};
    exact       <= psum_north + $signed({{(32 - ACT_WIDTH){1'b0}}, act_i}) * came_last;
    exact_known <= came;
    past_act    <= act_i;
  end

  always @* begin
    // Every row of the array, 0 to ROWS - 1
    any_row: assume (row < ROWS);
    // The psum from the north is one that the `row` rows above can produce.
    psum_of_rows_above: assume (psum_north >= -above * HIGHEST_ACT * LOWEST_WEIGHT &&
                                psum_north <= above * HIGHEST_ACT * (LOWEST_WEIGHT - 1));
    // The weight that came last stays, and is what moves south with the next.
    weight_stays: assert (!came || weight_o == came_last);
    // The sum is psum_i + activation × weight, exactly.
    exact_sum: assert (!exact_known || psum_south == exact);
    // The sum stays within what the rows up to this one can produce: nothing overflows.
    no_overflow: assert (!started || (psum_south >= -(above + 1) * HIGHEST_ACT * LOWEST_WEIGHT &&
                                      psum_south <= (above + 1) * HIGHEST_ACT * (LOWEST_WEIGHT - 1)));
    // The activation goes east a cycle later.
    act_passes: assert (!started || act_o == past_act);
    // In the last row, the most negative psum of all
    lowest_psum: cover (exact_known && row == ROWS - 1 &&
                        psum_south == -ROWS * HIGHEST_ACT * LOWEST_WEIGHT);
  end
