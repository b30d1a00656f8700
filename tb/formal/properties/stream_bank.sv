  reg started = 1'b0;
  reg ran = 1'b0;
  always @(posedge clk_i) {ran, started} <= {started, 1'b1};

  // Beats of the packet that comes, WORDS + 1 if there are more; what came in the cycle before
  wire [15:0] seen_beats;
  wire beat = tvalid_i && tready_o;
  reg [15:0] seen;
  wire [15:0] seen_next = (seen == WORDS + 1) ? seen : seen + 1'b1;
  reg past_beat;
  reg past_last;
  reg [15:0] past_word;
  reg [WIDTH-1:0] past_data;
  // An oldest packet was there before and is not released
  reg in_use;
  reg packet_bank;

  always @(posedge clk_i) begin
    if (rst_i)     seen <= 0;
    else if (beat) seen <= tlast_i ? 0 : seen_next;
    {past_beat, past_last, past_word, past_data} <= {beat, tlast_i && !rst_i, seen, tdata_i};
    in_use <= full_o && !release_i && !rst_i;
    if (write_o && past_word == 0) packet_bank <= write_bank_o;
  end

  always @* begin
    // A run begins with a reset.
    reset_first: assume (started || rst_i);
    // A packet is released only while there is one.
    release_full: assume (!started || !release_i || full_o);
    if (started) begin
      // Beats are counted as the packet's words.
      lemma_beats: assert (seen_beats == seen && seen <= WORDS + 1);
      // The packet that comes stays in its bank.
      lemma_bank: assert (!ran || seen == 0 ||
                          write_bank == ((write_o && past_word == 0) ? write_bank_o : packet_bank));
      // A packet's length is at most a word more than a bank.
      length_fits: assert (length_o <= WORDS + 1);
    end
    if (ran) begin
      // A beat is written a cycle later, and those beyond the bank nowhere.
      written_a_cycle_later: assert (write_o == (past_beat && past_word < WORDS));
      // Beat n goes to word n, as it came.
      beat_to_its_word: assert (!write_o ||
                                (write_address_o == past_word && write_data_o == past_data));
      // All beats of a packet go to the same bank.
      one_bank: assert (!write_o || past_word == 0 || write_bank_o == packet_bank);
      // A packet that ends while no other waits is reported to be in the bank where its last beat goes.
      told_bank: assert (!write_o || !past_last || in_use || (full_o && bank_o == write_bank_o));
      // The bank of a packet that was complete before is not written.
      never_overwrites: assert (!write_o || !in_use || write_bank_o != bank_o);
      // The last word of a bank is written.
      last_word: cover (write_o && write_address_o == WORDS - 1);
      // A packet is complete while its last beat is written.
      complete: cover (write_o && full_o && write_bank_o == bank_o && past_last);
    end
  end
