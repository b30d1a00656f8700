  // The RAM's watched word, see ram.sv
  wire [ADDRESS_WIDTH-1:0] seen_watched;
  wire seen_written;
  wire [WIDTH-1:0] seen_word;

  // Any word of a bank, and what was written there
  (* anyconst *) reg watched_bank;
  (* anyconst *) reg [$clog2(WORDS)-1:0] watched_address;
  reg written = 1'b0;
  reg [WIDTH-1:0] word;
  reg read_watched = 1'b0;
  reg [WIDTH-1:0] word_then;
  wire write_watched = write_i && write_bank_i == watched_bank && write_address_i == watched_address;

  always @(posedge clk_i) begin
    if (write_watched) {written, word} <= {1'b1, write_data_i};
    read_watched <= written && read_bank_i == watched_bank && read_address_i == watched_address &&
                    !write_watched;
    word_then    <= word;
  end

  always @* begin
    // Addresses are those of a bank's words.
    addresses_exist: assume (write_address_i < WORDS && read_address_i < WORDS && watched_address < WORDS);
    // The RAM's word that is watched is this one.
    same_word: assume (seen_watched == watched_address + (watched_bank ? WORDS : 0));
    // The RAM holds the watched word.
    lemma_word: assert (written == seen_written && (!written || word == seen_word));
    // A read of a bank gives what was written last to that bank and address: banks do not overlap.
    reads_what_was_written: assert (!read_watched || read_data_o == word_then);
    // A word of the second bank is read, one of the first is written meanwhile.
    both_banks: cover (read_watched && watched_bank && write_i && !write_bank_i);
  end
