  reg started = 1'b0;
  always @(posedge clk_i) started <= 1'b1;

  // The pixel that comes next: its column, and whether its row is an odd one
  reg [8:0] column;
  reg odd;
  wire ends_row = column == out_width_i - 1;
  always @(posedge clk_i) begin
    if (valid_i) begin
      column <= ends_row ? 0 : column + 1'b1;
      if (ends_row) odd <= last_i ? 1'b0 : !odd;
    end
    if (rst_i) {column, odd} <= 0;
  end

  // Any pair of columns, and the codes of lane 0 there: of the even row and of the odd one, on the left and
  // on the right
  (* anyconst *) reg [PAIR_WIDTH-1:0] watched;
  reg [3:0] even_left;
  reg [3:0] even_right;
  reg [3:0] odd_left;
  reg [3:0] before_this;
  wire here = valid_i && column[8:1] == watched;
  always @(posedge clk_i) begin
    if (here && !odd && !column[0]) even_left <= data_i[3:0];
    if (here && !odd && column[0])  even_right <= data_i[3:0];
    if (here && odd && !column[0])  odd_left <= data_i[3:0];
    if (valid_i) before_this <= data_i[3:0];
  end
  wire [3:0] even_largest = (even_left > even_right) ? even_left : even_right;
  wire [3:0] odd_largest = (odd_left > data_i[3:0]) ? odd_left : data_i[3:0];

  wire in_map = column != 0 || odd;
  reg [9:0] past_layer;
  reg past_reset = 1'b0;
  always @(posedge clk_i) {past_layer, past_reset} <= {pool_i, out_width_i, rst_i};

  always @* begin
    // A run begins with a reset.
    reset_first: assume (started || rst_i);
    // The layer stays while one of its maps is on the way.
    layer_stays: assume (!started || !in_map || {pool_i, out_width_i} == past_layer);
    // An output of which pixels come has columns; one that is pooled has an even number of them, which fit.
    columns: assume ((!valid_i && !in_map) || (out_width_i != 0 && (!pool_i || (!out_width_i[0] && out_width_i <= POOL_WIDTH))));
    // The last result of a layer ends a row, and an odd one if the layer is pooled.
    last_ends_a_map: assume (!(valid_i && last_i) || (ends_row && (!pool_i || odd)));
    // There is none in the cycle after a reset.
    none_after_reset: assume (!past_reset || !valid_i);
    if (started) begin
      // The place is that of the pixel that comes next.
      lemma_place: assert (x == column && odd_row == odd && (column < out_width_i || !in_map));
      // The pixel before this one is kept, and the largest of the watched pair of the row above.
      lemma_kept: assert ((!in_map || !column[0] || left[3:0] == before_this) &&
                          (!pool_i || !odd || above[watched][3:0] == even_largest || watched >= out_width_i[8:1]) &&
                          (!pool_i || odd || column[8:1] <= watched || above[watched][3:0] == even_largest) &&
                          (!in_map || !column[0] || column[8:1] != watched || (odd ? odd_left : even_left) == before_this));
      // Of a pooled layer the last of each four pixels leaves, and of any other layer each pixel.
      leaves: assert (valid_o == (valid_i && (!pool_i || (column[0] && odd))));
      // What does not leave gives its place back.
      others_are_dropped: assert (drop_o == (valid_i && !valid_o));
      // What leaves is the largest of the four codes.
      largest: assert (!valid_o || !pool_i || column[8:1] != watched ||
                       data_o == (even_largest > odd_largest ? even_largest : odd_largest));
      // What is not pooled leaves as it came.
      passes: assert (!valid_o || pool_i || data_o == data_i);
      // The last result of a layer is marked, and no other.
      last_is_marked: assert (!valid_o || last_o == last_i);
      // The first code of the second pair is the largest of its four.
      first_of_four: cover (valid_o && pool_i && column == 3 && watched == 1 && even_left == 9 && data_o == 9 && odd_largest < 9 && even_right < 9);
    end
  end
