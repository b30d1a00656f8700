  // Any word: where it is, and what was written there last, perhaps before the run
  (* anyconst *) reg [$clog2(DEPTH)-1:0] watched;
  reg started = 1'b0;
  reg [WIDTH-1:0] word;
  reg read_watched = 1'b0;
  reg [WIDTH-1:0] word_then;
  reg overwritten = 1'b0;
  wire write_watched = write_i && write_address_i == watched;

  always @(posedge clk_i) begin
    started <= 1'b1;
    if (write_watched) word <= write_data_i;
    overwritten  <= overwritten || (write_watched && write_data_i != word);
    read_watched <= read_address_i == watched && !write_watched;
    word_then    <= word;
  end

  always @* begin
    // Addresses that exist
    watched_exists: assume (watched < DEPTH);
    // What the memory holds at first is what was written there.
    held_at_first: assume (started || words[watched] == word);
    // The memory holds the watched word.
    lemma_word: assert (words[watched] == word);
    // A read gives, a cycle later, what was written last, unless that word is being written.
    reads_what_was_written: assert (!read_watched || read_data_o == word_then);
    // A word is read after it was overwritten.
    read_again: cover (read_watched && word_then == 2 && overwritten);
  end
