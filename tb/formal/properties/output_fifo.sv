  reg started = 1'b0;
  always @(posedge clk_i) started <= 1'b1;

  // Reserved but not yet here; here but not yet taken
  reg [15:0] expected;
  reg [15:0] held;
  always @(posedge clk_i) begin
    expected <= rst_i ? 0 : expected + (reserve_i ? 1 : 0) - (valid_i ? 1 : 0) - (drop_i ? 1 : 0);
    held     <= rst_i ? 0 : held + (valid_i ? 1 : 0) - (pop ? 1 : 0);
  end

  // One entry, any that comes: what it is, and how many are to leave before it
  (* anyseq *) wire mark;
  reg tracked;
  reg [WIDTH-1:0] entry;
  reg [15:0] ahead;
  always @(posedge clk_i) begin
    if (rst_i)                             tracked <= 1'b0;
    else if (mark && !tracked && valid_i)  {tracked, entry, ahead} <= {1'b1, data_i, held - (pop ? 1'b1 : 1'b0)};
    else if (tracked && pop && ahead == 0) tracked <= 1'b0;
    else if (tracked && pop)               ahead <= ahead - 1'b1;
  end

  reg had_ahead;
  always @(posedge clk_i) had_ahead <= tracked && ahead == 1;

  reg stalled = 1'b0;
  reg [WIDTH-1:0] stalled_data;
  always @(posedge clk_i) {stalled, stalled_data} <= {valid_o && !ready_i && !rst_i, data_o};

  wire [15:0] place = read_pointer + ahead;

  always @* begin
    // A run begins with a reset.
    reset_first: assume (started || rst_i);
    // A place is reserved only while there is one.
    reserve_only_reservable: assume (!reserve_i || reservable_o || !started);
    // What comes, or is given back, was reserved before.
    comes_reserved: assume (!(valid_i || drop_i) || expected != 0 || !started);
    // Never does an entry come while a place is given back.
    one_of_both: assume (!(valid_i && drop_i));
    if (started) begin
      // The pointers are as far apart as entries are held.
      lemma_pointers: assert (((write_pointer - read_pointer) & (2 * DEPTH - 1)) == held);
      // Every place is free, reserved or held.
      lemma_places: assert (unreserved + expected + held == ALL && unreserved <= ALL && expected <= ALL && held <= ALL);
      // The tracked entry lies in its place.
      lemma_entry: assert (!tracked || (ahead < held && entries[place[POINTER_WIDTH-1:0]] == entry));
      // Any entry leaves with its data, after exactly those that came before it.
      in_order: assert (!tracked || ahead != 0 || (valid_o && data_o == entry));
      // There is an output exactly while entries that came have not been taken: none is lost, none twice.
      none_lost_none_twice: assert (valid_o == (held != 0));
      // Never more than DEPTH entries are reserved or held.
      no_overflow: assert (expected + held <= ALL);
      // A place can be reserved exactly while one is free.
      reservable_while_free: assert (reservable_o == (expected + held < ALL));
      // A stalled output stays valid and keeps its data.
      holds_while_stalled: assert (!stalled || (valid_o && data_o == stalled_data));
      // The FIFO is full.
      full: cover (held == ALL);
      // An entry waits behind others, and leaves.
      leaves: cover (tracked && ahead == 0 && pop && entry == 8'h5a && had_ahead);
    end
  end
