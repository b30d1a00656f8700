  // From the first load on that is not in the first cycle, before which nothing is known
  reg clocked = 1'b0;
  reg started = 1'b0;
  always @(posedge clk_i) begin
    clocked <= 1'b1;
    started <= started || (clocked && load_i);
  end

  // How many columns are still to come
  reg loading;
  reg [15:0] left;
  reg first;
  reg [15:0] past_address;
  reg held = 1'b0;
  reg [COL_WIDTH-1:0] held_col;

  always @(posedge clk_i) begin
    if (rst_i)        loading <= 1'b0;
    else if (load_i)  loading <= 1'b1;
    else if (valid_o) loading <= left != 1;
    if (load_i)       left <= COLS;
    else if (valid_o) left <= left - 1'b1;
    first        <= load_i;
    past_address <= address_i;
    held         <= clocked && loading && hold_i && !rst_i;
    held_col     <= col_o;
  end

  always @* begin
    // A run begins with a reset.
    reset_first: assume (clocked || rst_i);
    // A tile is loaded only when nothing is left to load.
    load_when_ready: assume (!clocked || !load_i || ready_o);
    // The address is a multiple of COLS, from the first tile on also while nothing is loaded.
    address_of_a_tile: assume (!started || address_i % COLS == 0);
    // The address stays from the cycle after load_i until all columns are loaded.
    address_stays: assume (!clocked || !loading || first || address_i == past_address);
    // The first load is not in the first cycle, and nothing is loaded before it.
    lemma_started: assert (started ? clocked : !clocked || !loading);
    if (clocked) begin
      // What is left to load is what the registers say.
      lemma_left: assert (active == loading && (!loading || (left != 0 && left <= COLS && col == left - 1)));
      // After load_i come all COLS columns, last one first, each once.
      columns_in_order: assert (!valid_o || (loading && col_o == left - 1));
      // A column's address is the tile's plus the column.
      address_of_column: assert (!valid_o || address_o == address_i + col_o);
      // A column comes in each cycle while any is left, except while hold_i is high.
      one_a_cycle: assert (valid_o == (loading && !hold_i));
      // The loader is ready exactly when no column is left after this cycle.
      ready_at_the_end: assert (ready_o == (!loading || (valid_o && left == 1)));
      // A column that has to wait stays.
      holds_while_stalled: assert (!held || (loading && col_o == held_col));
      // One tile right after the other
      next_tile: cover (valid_o && left == 1 && load_i && address_o == 5 * COLS);
    end
  end
