  // The RAM's watched word, see ram.sv
  wire [ADDRESS_WIDTH-1:0] seen_watched;
  wire [WIDTH-1:0] seen_word;

  // Any word of a bank, and what was written there last, perhaps before the run
  (* anyconst *) reg watched_bank;
  (* anyconst *) reg [$clog2(WORDS)-1:0] watched_address;
  reg started = 1'b0;
  reg [WIDTH-1:0] word;
  reg read_watched = 1'b0;
  reg [WIDTH-1:0] word_then;
  wire write_watched = write_i && write_bank_i == watched_bank && write_address_i == watched_address;

  always @(posedge clk_i) begin
    started <= 1'b1;
    if (write_watched) word <= write_data_i;
    read_watched <= read_bank_i == watched_bank && read_address_i == watched_address &&
                    !write_watched;
    word_then    <= word;
  end

  always @* begin
    // The word is one of the bank's.
    any_word: assume (watched_address < WORDS);
    // What is written has its place in the bank.
    writes_have_places: assume (!write_i || write_address_i < WORDS);
    // The RAM's word that is watched is this one.
    same_word: assume (seen_watched == watched_address + (watched_bank ? WORDS : 0));
    // What the RAM holds at first is what was written there.
    held_at_first: assume (started || word == seen_word);
    // The RAM holds the watched word.
    lemma_word: assert (word == seen_word);
    // A read of a bank gives what was written last to that bank and address: banks do not overlap.
    reads_what_was_written: assert (!read_watched || read_data_o == word_then);
    // A word of the second bank is read, one of the first is written meanwhile.
    both_banks: cover (read_watched && watched_bank && write_i && !write_bank_i);
  end
