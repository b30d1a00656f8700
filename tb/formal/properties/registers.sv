  reg started = 1'b0;
  always @(posedge clk_i) started <= 1'b1;

  // What is taken in this cycle, and what is still to be answered
  wire aw_taken = s_axil_awvalid && s_axil_awready;
  wire w_taken = s_axil_wvalid && s_axil_wready;
  wire ar_taken = s_axil_arvalid && s_axil_arready;
  reg [7:0] writes_open;
  reg [7:0] reads_open;
  always @(posedge clk_i) begin
    writes_open <= rst_i ? 0 : writes_open + (aw_taken ? 1 : 0) - (s_axil_bvalid && s_axil_bready ? 1 : 0);
    reads_open  <= rst_i ? 0 : reads_open + (ar_taken ? 1 : 0) - (s_axil_rvalid && s_axil_rready ? 1 : 0);
  end

  // Any register of the layer: its word, what the host wrote there, and its bits that exist
  (* anyconst *) reg [4:0] chosen;
  reg [31:0] value;
  reg [31:0] value_then;
  wire [31:0] bits = (chosen == `CORE_REGISTER_KERNEL) ? 32'h00ff_ffff : (chosen == `CORE_REGISTER_OUTPUT) ? 32'h0000_071f : 32'hffff_ffff;
  wire [31:0] port = (chosen == `CORE_REGISTER_MAP) ? {width_o, height_o} :
                     (chosen == `CORE_REGISTER_KERNEL) ? {8'd0, padding_o, stride_o, kernel_o} :
                     (chosen == `CORE_REGISTER_TILES) ? {output_tiles_o, input_tiles_o} :
                     (chosen == `CORE_REGISTER_IMAGES) ? images_o :
                     {21'd0, keep_thresholds_o, keep_weights_o, keep_acts_o, 3'd0, pool_o, mode_o};
  integer b;
  always @(posedge clk_i) begin
    for (b = 0; b < 4; b = b + 1) begin
      if (aw_taken && s_axil_awaddr[6:2] == chosen && s_axil_wstrb[b]) begin
        value[8*b +: 8] <= s_axil_wdata[8*b +: 8];
      end
    end
    if (rst_i) value <= 0;
  end

  // Accesses that were offered and not yet taken; and whether one has to be taken in this cycle
  reg aw_waits = 1'b0;
  reg w_waits = 1'b0;
  reg ar_waits = 1'b0;
  reg [6:0] awaddr_then;
  reg [35:0] w_then;
  reg [6:0] araddr_then;
  reg write_due = 1'b0;
  reg read_due = 1'b0;
  reg hold_then;
  reg taken_then = 1'b0;
  reg taken_before = 1'b0;
  always @(posedge clk_i) begin
    aw_waits  <= s_axil_awvalid && !s_axil_awready && !rst_i;
    w_waits   <= s_axil_wvalid && !s_axil_wready && !rst_i;
    ar_waits  <= s_axil_arvalid && !s_axil_arready && !rst_i;
    write_due <= s_axil_awvalid && s_axil_wvalid && !s_axil_awready && !rst_i && (!s_axil_bvalid || s_axil_bready) &&
                 !(hold_i && s_axil_awaddr[6:2] == `CORE_REGISTER_CONTROL);
    read_due  <= s_axil_arvalid && !s_axil_arready && !rst_i && (!s_axil_rvalid || s_axil_rready);
    {awaddr_then, w_then, araddr_then} <= {s_axil_awaddr, s_axil_wdata, s_axil_wstrb, s_axil_araddr};
    hold_then <= hold_i;
    {taken_before, taken_then} <= {taken_then, aw_taken && !rst_i};
  end

  // The last access that was taken, and answers that had to wait
  reg [4:0] write_word_then;
  reg [4:0] read_word_then;
  reg [31:0] status_then;
  reg start_then = 1'b0;
  reg clear_then = 1'b0;
  reg b_stalled = 1'b0;
  reg [1:0] bresp_then;
  reg r_stalled = 1'b0;
  reg [33:0] r_then;
  always @(posedge clk_i) begin
    if (aw_taken) write_word_then <= s_axil_awaddr[6:2];
    if (ar_taken) {read_word_then, value_then} <= {s_axil_araddr[6:2], value};
    if (ar_taken) status_then <= {24'd0, error_i, 2'd0, done_i, busy_i};
    start_then <= aw_taken && s_axil_awaddr[6:2] == `CORE_REGISTER_CONTROL && s_axil_wstrb[0] && s_axil_wdata[0] && !rst_i;
    clear_then <= aw_taken && s_axil_awaddr[6:2] == `CORE_REGISTER_CONTROL && s_axil_wstrb[0] && s_axil_wdata[1] && !rst_i;
    {b_stalled, bresp_then} <= {s_axil_bvalid && !s_axil_bready && !rst_i, s_axil_bresp};
    {r_stalled, r_then} <= {s_axil_rvalid && !s_axil_rready && !rst_i, s_axil_rresp, s_axil_rdata};
  end
  wire can_write = write_word_then == `CORE_REGISTER_CONTROL || (write_word_then >= `CORE_REGISTER_MAP && write_word_then <= `CORE_REGISTER_OUTPUT);
  wire can_read = read_word_then <= `CORE_REGISTER_OPTIONS || (read_word_then >= `CORE_REGISTER_CONTROL && read_word_then <= `CORE_REGISTER_STALLS) ||
                  (read_word_then >= `CORE_REGISTER_MAP && read_word_then <= `CORE_REGISTER_OUTPUT);

  always @* begin
    // A run begins with a reset.
    reset_first: assume (started || rst_i);
    // Every register of the layer
    any_register: assume (chosen >= `CORE_REGISTER_MAP && chosen <= `CORE_REGISTER_OUTPUT);
    // What is offered stays as it is until it is taken.
    offers_stay: assume ((!aw_waits || (s_axil_awvalid && s_axil_awaddr == awaddr_then)) &&
                         (!w_waits || (s_axil_wvalid && {s_axil_wdata, s_axil_wstrb} == w_then)) &&
                         (!ar_waits || (s_axil_arvalid && s_axil_araddr == araddr_then)));
    if (started) begin
      // Ready is high only for what waits, when no answer is in the way, and for CONTROL if hold_i was low.
      lemma_ready: assert ((!s_axil_awready || (aw_waits && w_waits && !s_axil_bvalid && !(hold_then && awaddr_then[6:2] == `CORE_REGISTER_CONTROL))) &&
                           (!s_axil_arready || (ar_waits && !s_axil_rvalid)));
      // The registers hold what the host wrote.
      lemma_value: assert (port == (value & bits));
      // An answer belongs to the access that was taken last.
      lemma_open: assert (writes_open <= 1 && reads_open <= 1);
      // Address and data of a write are taken in the same cycle.
      address_with_data: assert (aw_taken == w_taken);
      // Every write that is taken has one answer, and no answer comes without.
      one_answer_a_write: assert (s_axil_bvalid == (writes_open == 1) && writes_open <= 1);
      // Every read that is taken has one answer, and no answer comes without.
      one_answer_a_read: assert (s_axil_rvalid == (reads_open == 1) && reads_open <= 1);
      // The answer to a write stays until it is taken.
      write_answer_holds: assert (!b_stalled || (s_axil_bvalid && s_axil_bresp == bresp_then));
      // The answer to a read, and its data, stay until they are taken.
      read_answer_holds: assert (!r_stalled || (s_axil_rvalid && {s_axil_rresp, s_axil_rdata} == r_then));
      // A write is refused exactly where there is no register, or one that can only be read.
      refuses_writes: assert (!s_axil_bvalid || s_axil_bresp == (can_write ? OKAY : SLVERR));
      // A read is refused exactly where there is no register.
      refuses_reads: assert (!s_axil_rvalid || s_axil_rresp == (can_read ? OKAY : SLVERR));
      // A register of the layer gives what was written last, byte by byte.
      reads_what_was_written: assert (!s_axil_rvalid || read_word_then != chosen || s_axil_rdata == (value_then & bits));
      // STATUS gives the state of the cycle in which the read was taken.
      status_is_now: assert (!s_axil_rvalid || read_word_then != `CORE_REGISTER_STATUS || s_axil_rdata == status_then);
      // The core sees what was written last.
      core_sees_it: assert (port == (value & bits));
      // A write to CONTROL waits while hold_i is high: what is taken was waiting when hold_i was low.
      control_waits: assert (!hold_then || !aw_taken || s_axil_awaddr[6:2] != `CORE_REGISTER_CONTROL);
      // A write is taken in the cycle after it was offered, unless CONTROL or the answer before waits.
      write_is_taken: assert (!write_due || aw_taken);
      // A read is taken in the cycle after it was offered, unless the answer before waits.
      read_is_taken: assert (!read_due || ar_taken);
      // A start is a pulse of one cycle after each write that sets it, and never comes otherwise.
      starts_once: assert (start_o == start_then);
      // A clear is a pulse of one cycle after each write that sets it, and never comes otherwise.
      clears_once: assert (clear_o == clear_then);
      // A change of the layer is reported in the cycle of its write.
      tells_changes: assert (change_o == (aw_taken && s_axil_awaddr[6:2] >= `CORE_REGISTER_MAP && s_axil_awaddr[6:2] <= `CORE_REGISTER_OUTPUT));
      // A write of one byte is read back.
      byte_read: cover (s_axil_rvalid && read_word_then == chosen && s_axil_rdata == 32'h0000_a500);
      // A write in every second cycle
      back_to_back: cover (taken_before && aw_taken);
      // A write to CONTROL waited, and starts.
      start: cover (start_o);
    end
  end
