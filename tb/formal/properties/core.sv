  // The handshakes of the core's AXI ports, as its modules are connected. The proofs of the modules show
  // what the transferred words mean.
  reg started = 1'b0;
  always @(posedge clk_i) started <= 1'b1;

  // AXI4-Lite: what was offered in the cycle before and not taken, answers that waited, and what is open
  wire aw_taken = s_axil_awvalid && s_axil_awready;
  wire w_taken = s_axil_wvalid && s_axil_wready;
  wire ar_taken = s_axil_arvalid && s_axil_arready;
  wire b_taken = s_axil_bvalid && s_axil_bready;
  wire r_taken = s_axil_rvalid && s_axil_rready;
  reg aw_waits = 1'b0;
  reg w_waits = 1'b0;
  reg ar_waits = 1'b0;
  reg b_waits = 1'b0;
  reg r_waits = 1'b0;
  reg [6:0] awaddr_then;
  reg [35:0] w_then;
  reg [6:0] araddr_then;
  reg [1:0] bresp_then;
  reg [33:0] r_then;
  reg [3:0] addresses_open;
  reg [3:0] words_open;
  reg [3:0] reads_open;
  reg [4:0] write_waited;  // cycles since an address and its word were both there, with room for the answer
  reg [4:0] read_waited;
  reg reset_then = 1'b0;
  always @(posedge clk_i) begin
    aw_waits <= s_axil_awvalid && !s_axil_awready && !rst_i;
    w_waits  <= s_axil_wvalid && !s_axil_wready && !rst_i;
    ar_waits <= s_axil_arvalid && !s_axil_arready && !rst_i;
    b_waits  <= s_axil_bvalid && !s_axil_bready && !rst_i;
    r_waits  <= s_axil_rvalid && !s_axil_rready && !rst_i;
    {awaddr_then, w_then, araddr_then} <= {s_axil_awaddr, s_axil_wdata, s_axil_wstrb, s_axil_araddr};
    {bresp_then, r_then} <= {s_axil_bresp, s_axil_rresp, s_axil_rdata};
    addresses_open <= rst_i ? 0 : addresses_open + (aw_taken ? 1 : 0) - (b_taken ? 1 : 0);
    words_open     <= rst_i ? 0 : words_open + (w_taken ? 1 : 0) - (b_taken ? 1 : 0);
    reads_open     <= rst_i ? 0 : reads_open + (ar_taken ? 1 : 0) - (r_taken ? 1 : 0);
    write_waited   <= (s_axil_awvalid && s_axil_wvalid && !aw_taken && (!s_axil_bvalid || s_axil_bready) && !rst_i) ?
                      write_waited + 1 : 0;
    read_waited    <= (s_axil_arvalid && !ar_taken && (!s_axil_rvalid || s_axil_rready) && !rst_i) ? read_waited + 1 : 0;
    reset_then     <= rst_i;
  end

  // The output stream: a beat that waited; the beats in the FIFO; and the pixels between their reservation
  // and the FIFO, by age
  localparam ON_THE_WAY = LATENCY + 7;
  reg out_waits = 1'b0;
  reg [COLS*SUM_WIDTH:0] out_then;
  reg [COLS*SUM_WIDTH/8-1:0] keep_then;
  reg [$clog2(FIFO_DEPTH):0] held;
  reg [ON_THE_WAY:1] due;
  integer n;
  reg [7:0] due_count;
  always @* begin
    due_count = 0;
    for (n = 1; n <= ON_THE_WAY; n = n + 1) due_count = due_count + due[n];
  end
  always @(posedge clk_i) begin
    out_waits <= m_axis_tvalid && !m_axis_tready && !rst_i;
    out_then  <= {m_axis_tlast, m_axis_tdata};
    keep_then <= m_axis_tkeep;
    held      <= rst_i ? 0 : held + (beat_valid ? 1 : 0) - (m_axis_tvalid && m_axis_tready ? 1 : 0);
    due       <= {due[ON_THE_WAY-1:1], reserve} & {ON_THE_WAY{!rst_i}};
  end
  // Wires inside the modules, connected by the proof
  wire [$clog2(FIFO_DEPTH):0] seen_unreserved;
  wire [$clog2(FIFO_DEPTH):0] seen_write_pointer;
  wire [$clog2(FIFO_DEPTH):0] seen_read_pointer;
  wire [3:0] seen_settling;
  wire seen_settled;
  wire [1:0] seen_state;
  wire [$clog2(FIFO_DEPTH):0] seen_stored = seen_write_pointer - seen_read_pointer;
  wire [(LATENCY-1)*(PIXEL_AW+1)-1:0] seen_pixels;
  wire seen_valid_1;
  wire seen_final_1;
  wire seen_valid_2;
  wire seen_final_2;
  wire [5:1] seen_valid;
  reg [LATENCY-2:1] on_the_way;  // as far as the accumulator
  always @* begin
    for (n = 1; n <= LATENCY - 2; n = n + 1) on_the_way[n] = pixel_valid_q[n] && seen_pixels[n*(PIXEL_AW+1) + PIXEL_AW];
  end

  always @* begin
    // A run begins with a reset.
    reset_first: assume (started || rst_i);
    // What a host offers stays as it is until it is taken.
    offers_stay: assume ((!aw_waits || (s_axil_awvalid && s_axil_awaddr == awaddr_then)) &&
                         (!w_waits || (s_axil_wvalid && {s_axil_wdata, s_axil_wstrb} == w_then)) &&
                         (!ar_waits || (s_axil_arvalid && s_axil_araddr == araddr_then)));
    // No pixel follows the last beat of a layer: output_stage.v counts them.
    last_is_last: assume (!(m_axis_tvalid && m_axis_tready && m_axis_tlast) ||
                          (held == 1 && due_count == 0 && !pixel_valid && !waiting && !take));
    if (started) begin
      // After a reset no answer and no beat is there.
      quiet_after_reset: assert (!reset_then || (!s_axil_bvalid && !s_axil_rvalid && !m_axis_tvalid));
      // The answer to a write stays until it is taken.
      write_answer_stays: assert (!b_waits || (s_axil_bvalid && s_axil_bresp == bresp_then));
      // The answer to a read, and its data, stay until they are taken.
      read_answer_stays: assert (!r_waits || (s_axil_rvalid && {s_axil_rresp, s_axil_rdata} == r_then));
      // Every write has one answer, which comes when its address and its word were taken, and none comes without.
      one_answer_a_write: assert (addresses_open == words_open && s_axil_bvalid == (words_open == 1) && words_open <= 1);
      // Every read has one answer, which comes when its address was taken, and none comes without.
      one_answer_a_read: assert (s_axil_rvalid == (reads_open == 1) && reads_open <= 1);
      // A write is taken within ten cycles, if the answer before it is.
      write_is_taken: assert (write_waited <= 10);
      // A read is taken in the cycle after, if the answer before it is.
      read_is_taken: assert (read_waited <= 1);
      // A beat of the output, and whether it is the last, stays until it is taken.
      beat_stays: assert (!out_waits || (m_axis_tvalid && {m_axis_tlast, m_axis_tdata} == out_then));
      // The byte enables of a beat stay the same until the beat is taken.
      keep_stays: assert (!out_waits || m_axis_tkeep == keep_then);
      // Every pixel on its way, and every beat, has a place of its own in the FIFO: none is lost.
      place_for_every_beat: assert (seen_unreserved + due_count + seen_stored == FIFO_DEPTH);
      // Ready is high only for what waits, when no answer is in the way.
      lemma_ready: assert ((!s_axil_awready || (aw_waits && w_waits && !s_axil_bvalid)) && s_axil_wready == s_axil_awready &&
                           (!s_axil_arready || (ar_waits && !s_axil_rvalid)));
      // A write to CONTROL waits no longer than the sizes settle, which takes nine cycles.
      lemma_waited: assert (write_waited <= (s_axil_awready ? 4'd10 : seen_settling) && seen_settling <= 9 &&
                            seen_settled == (seen_settling == 9) && (s_axil_arready || read_waited == 0));
      // Packets are never right and wrong at once.
      lemma_packets: assert (!packets_ready || !(acts_wrong || weights_wrong || thresholds_wrong));
      // Pixels are on their way while the layer runs alone.
      lemma_running: assert (running == (seen_state == 2) && seen_state != 3 && held == seen_stored &&
                             (running || (held == 0 && due_count == 0 && !pixel_valid && !waiting)));
      // None of the three is larger than the FIFO.
      lemma_places: assert (seen_stored <= FIFO_DEPTH && due_count <= FIFO_DEPTH && seen_unreserved <= FIFO_DEPTH &&
                            reservable == (seen_unreserved != 0));
      // A beat comes a fixed number of cycles after its place was reserved, and is seen in every cycle until then.
      lemma_due: assert (due == {result_valid, seen_valid, sum_valid, seen_valid_2 && seen_final_2,
                                 seen_valid_1 && seen_final_1, on_the_way});
      // Two writes with the shortest distance, and a read
      writes_and_reads: cover (b_taken && ar_taken);
      // A beat waits at the output while another one comes.
      beat_waits: cover (out_waits && result_valid);
    end
  end
