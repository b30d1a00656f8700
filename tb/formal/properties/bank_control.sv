  reg started = 1'b0;
  always @(posedge clk_i) started <= 1'b1;

  // Packets that wait or are in use; beats of the one that comes, WORDS + 1 if there are more
  wire last_beat = tvalid_i && tready_o && tlast_i;
  reg [15:0] packets;
  reg [15:0] seen;
  wire [15:0] seen_next = (seen == WORDS + 1) ? seen : seen + 1'b1;
  reg first_bank;

  always @(posedge clk_i) begin
    packets <= rst_i ? 0 : packets + (last_beat ? 1 : 0) - (release_i ? 1 : 0);
    if (rst_i)                       seen <= 0;
    else if (tvalid_i && tready_o)   seen <= tlast_i ? 0 : seen_next;
    if (tvalid_i && tready_o && seen == 0) first_bank <= write_bank_o;
  end

  // One packet, any: its length and bank, and how many are to be released before it
  (* anyseq *) wire mark;
  reg tracked;
  reg [15:0] packet_length;
  reg packet_bank;
  reg [15:0] ahead;
  always @(posedge clk_i) begin
    if (rst_i) tracked <= 1'b0;
    else if (mark && !tracked && last_beat) begin
      {tracked, packet_length, packet_bank} <= {1'b1, seen_next, write_bank_o};
      ahead <= packets - (release_i ? 1 : 0);
    end else if (tracked && release_i) begin
      tracked <= ahead != 0;
      ahead   <= ahead - 1'b1;
    end
  end

  reg in_use = 1'b0;
  reg [15:0] past_length;
  reg past_bank;
  always @(posedge clk_i) begin
    {in_use, past_length, past_bank} <= {full_o && !release_i && !rst_i, length_o, bank_o};
  end

  always @* begin
    // A run begins with a reset.
    reset_first: assume (started || rst_i);
    // A packet is released only while there is one.
    release_full: assume (!started || !release_i || full_o);
    // A bank's length is anything before its first packet. Nobody uses it; here it is one that fits.
    unused_length: assume (started || (length_0 <= WORDS + 1 && length_1 <= WORDS + 1 && beats <= WORDS));
    if (started) begin
      // A length is one of a packet.
      lemma_lengths: assert (length_0 <= WORDS + 1 && length_1 <= WORDS + 1);
      // The registers are what a queue of two banks needs.
      lemma_banks: assert (beats == seen && seen <= WORDS + 1 && packets <= 2 && full_o == (packets != 0) &&
                           full[!read_bank] == (packets == 2) && (fill_bank == read_bank) == (packets != 1));
      // The packet being filled, and the tracked one, lie in the banks where they should.
      lemma_places: assert ((seen == 0 || first_bank == fill_bank) &&
                            (!tracked || (ahead < packets && packet_bank == (read_bank ^ ahead[0]) &&
                                          packet_length == (packet_bank ? length_1 : length_0))));
      // A packet becomes the oldest after exactly those that came before it, with its length and bank.
      in_order: assert (!tracked || ahead != 0 || (full_o && length_o == packet_length && bank_o == packet_bank));
      // There is an oldest packet exactly while one is not released: none is lost, none comes twice.
      none_lost_none_twice: assert (full_o == (packets != 0));
      // The stream waits exactly while both banks are full.
      waits_while_full: assert (tready_o == (packets != 2));
      // Beat n goes to word n, and those beyond the bank nowhere.
      beat_to_its_word: assert (write_o == (tvalid_i && tready_o && seen < WORDS) && (!write_o || write_address_o == seen));
      // All beats of a packet go to the same bank.
      one_bank: assert (seen == 0 || write_bank_o == first_bank);
      // The bank of a packet that is not released is not written.
      never_overwrites: assert (!write_o || packets != 2 && (packets == 0 || write_bank_o != bank_o));
      // The oldest packet keeps its bank and length until it is released.
      holds_until_release: assert (!in_use || (full_o && length_o == past_length && bank_o == past_bank));
      // Both banks are full, and the second one's packet was too long.
      too_long: cover (packets == 2 && tracked && ahead == 1 && packet_length == WORDS + 1);
      // A packet comes in the cycle in which another one is released.
      replaced: cover (last_beat && release_i);
    end
  end
