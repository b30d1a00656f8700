  // The memory's watched word, see ram.sv
  wire [PIXEL_WIDTH-1:0] seen_watched;
  wire [COLS*SUM_WIDTH-1:0] seen_word;

  // Any pixel and any lane, and the sum of its psums so far
  (* anyconst *) reg [PIXEL_WIDTH-1:0] place;
  (* anyconst *) reg [7:0] lane;
  reg signed [31:0] total;
  wire signed [PSUM_WIDTH-1:0] lane_psum = psum_i[lane*PSUM_WIDTH +: PSUM_WIDTH];
  wire signed [31:0] with_psum = total + (psum_valid_i ? {{(32 - PSUM_WIDTH){lane_psum[PSUM_WIDTH-1]}}, lane_psum} : 0);
  wire signed [SUM_WIDTH-1:0] lane_sum = sum_o[lane*SUM_WIDTH +: SUM_WIDTH];

  // Whether each of the last three cycles had the watched pixel, and whether it had any pixel
  reg started = 1'b0;
  reg [3:1] here;
  reg [3:1] any;
  reg [3:1] last;
  reg signed [31:0] expected;
  reg [31:0] cycles;
  always @(posedge clk_i) begin
    started  <= 1'b1;
    here     <= {here[2:1], pixel_valid_i && pixel_i == place} & {3{!rst_i}};
    any      <= {any[2:1], pixel_valid_i} & {3{!rst_i}};
    last     <= {last[2:1], final_i};
    expected <= with_psum;
    if (rst_i)        total <= 0;
    else if (here[2]) total <= last[2] ? 0 : with_psum;
    cycles <= rst_i ? 0 : (cycles == PIXELS) ? cycles : cycles + 1;
  end

  wire signed [SUM_WIDTH-1:0] lane_written = written_3[lane*SUM_WIDTH +: SUM_WIDTH];
  wire signed [SUM_WIDTH-1:0] lane_seen = seen_word[lane*SUM_WIDTH +: SUM_WIDTH];
  // Number of places that are cleared, or whose zero is being written
  wire [PIXEL_WIDTH:0] cleared = clearing ? {1'b0, next_cleared} : PIXELS;
  wire coming = write_3 && address_3 == place;

  always @* begin
    // A run begins with a reset.
    reset_first: assume (started || rst_i);
    // Every lane, and every place of the memory
    any_lane: assume (lane < COLS && place < PIXELS);
    // The memory's word that is watched is this one.
    same_word: assume (seen_watched == place);
    // Pixels come only while the memory is clear.
    pixels_when_ready: assume (!started || !pixel_valid_i || ready_o);
    // A pixel has a place in the memory.
    pixels_have_places: assume (!pixel_valid_i || pixel_i < PIXELS);
    // A layer whose sums could need more bits is refused; see geometry.v.
    sums_fit: assume (!started || !here[2] || (with_psum >= -(1 << (SUM_WIDTH - 1)) && with_psum < (1 << (SUM_WIDTH - 1))));
    if (started) begin
      // The stages are where they should be.
      lemma_stages: assert (any[2:1] == {valid_2, valid_1} && (any[3] == valid_3 || cycles == 0) &&
                            here == (any & {pixel_3 == place, pixel_2 == place, pixel_1 == place}) &&
                            (!valid_1 || final_1 == last[1]) && (!valid_2 || final_2 == last[2]) &&
                            (!any[3] || (write_3 && zero_3 == last[3] && address_3 == pixel_3)) &&
                            (!any[1] && !any[2] && !any[3] || (ready_o || rst_i)));
      // After a reset one more place is cleared in each cycle, until all are.
      lemma_clearing: assert (cleared != 0 && cleared <= PIXELS && (!clearing || next_cleared < PIXELS) && cycles <= PIXELS && (!ready_o || !clearing) &&
                              (cycles == 0 ? cleared == 1 : cleared == (cycles >= PIXELS - 1 ? PIXELS : cycles + 1)) &&
                              (!clearing || (any == 0 && write_3 && zero_3 && address_3 == cleared - 1)) &&
                              (ready_o || any == 0) &&
                              (ready_o || (write_3 && zero_3 && address_3 == cleared - 1)));
      // The sum so far is in the memory, or on its way there.
      lemma_memory: assert (place >= cleared || (coming ? lane_written == total : lane_seen == total));
      // While the memory is cleared there are no sums.
      lemma_none: assert (ready_o || total == 0);
      // A finished pixel's sum is that of all its psums since it was finished last, or since the reset.
      sum_of_its_psums: assert (!(here[3] && last[3]) || (sum_valid_o && lane_sum == expected));
      // Sums leave three cycles after the pixels that are finished, and only then.
      only_finished_leave: assert (sum_valid_o == (any[3] && last[3]));
      // The accumulator is ready from PIXELS cycles after the reset on.
      ready_in_time: assert (ready_o == (cycles >= PIXELS));
      // The same pixel in neighbouring cycles, and again with one, two and three between
      neighbours: cover (here == 3'b111 && sum_valid_o && expected == -5);
      // A pixel that is finished without psums of its own
      without_psum: cover (here[3] && last[3] && expected == 9 && !any[2]);
    end
  end
