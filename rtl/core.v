`resetall
`timescale 1ns / 1ps
`default_nettype none

// Convolution core: a host writes a layer's registers, streams its codes, starts it, and reads sums
// or the next layer's codes from the output stream. REGISTERS.md and rtl/README.md are its
// contract.
//
// AXI ports keep the standard's names, so that tools recognise the interfaces.
module core #(
  // Input channels of a tile, rows of the array; even
  parameter ROWS = 8,
  // Output channels of a tile, columns of the array; even, at least 4
  parameter COLS = 8,
  // Bits of an activation, 1 to 8
  parameter ACT_WIDTH = 4,
  // 0: activations are unsigned; 1: they are two's complement
  parameter ACT_SIGNED = 0,
  // Bits of a weight, 2 to 8, two's complement
  parameter WEIGHT_WIDTH = 4,
  // Bits of a sum, of an output lane, and of a threshold
  parameter SUM_WIDTH = 24,
  // What one bank holds (there are two, one fills while the other is used): pixels of ROWS
  // activations,
  parameter ACT_WORDS = 8192,
  // columns of ROWS weights, a multiple of COLS,
  parameter WEIGHT_WORDS = 8192,
  // and output tiles with thresholds, a power of two
  parameter THRESHOLD_TILES = 64,
  // Output pixels, of all images, that accumulate at a time
  parameter PIXELS = 1024,
  // 1: mode SCALED is there, codes of 5 to 8 bits by multiplier, shift and clamp
  parameter OUTPUT_SCALING = 0,
  // The widest output whose codes the core can pool, in pixels, even, at most 254; 0: it has no pooling
  parameter POOL_WIDTH = 0
) (
  input  wire                      clk_i,
  input  wire                      rst_i,
  // A layer is done or an error is set, until the next start or CONTROL.clear
  output wire                      interrupt_o,

  // Registers
  input  wire [               6:0] s_axil_awaddr,
  input  wire [               2:0] s_axil_awprot,
  input  wire                      s_axil_awvalid,
  output wire                      s_axil_awready,
  input  wire [              31:0] s_axil_wdata,
  input  wire [               3:0] s_axil_wstrb,
  input  wire                      s_axil_wvalid,
  output wire                      s_axil_wready,
  output wire [               1:0] s_axil_bresp,
  output wire                      s_axil_bvalid,
  input  wire                      s_axil_bready,
  input  wire [               6:0] s_axil_araddr,
  input  wire [               2:0] s_axil_arprot,
  input  wire                      s_axil_arvalid,
  output wire                      s_axil_arready,
  output wire [              31:0] s_axil_rdata,
  output wire [               1:0] s_axil_rresp,
  output wire                      s_axil_rvalid,
  input  wire                      s_axil_rready,

  // Activations: a pixel of ROWS channels a beat, row 0 in the lowest bits. Beats are whole bytes; bits
  // above the last row's are ignored, here and of weights
  input  wire [(ROWS*ACT_WIDTH+7)/8*8-1:0] s_axis_act_tdata,
  input  wire                      s_axis_act_tvalid,
  output wire                      s_axis_act_tready,
  input  wire                      s_axis_act_tlast,

  // Weights: a column of ROWS weights a beat, row 0 in the lowest bits
  input  wire [(ROWS*WEIGHT_WIDTH+7)/8*8-1:0] s_axis_weight_tdata,
  input  wire                      s_axis_weight_tvalid,
  output wire                      s_axis_weight_tready,
  input  wire                      s_axis_weight_tlast,

  // Thresholds: COLS lanes a beat, 16 beats an output tile; see output_stage.v
  input  wire [COLS*SUM_WIDTH-1:0] s_axis_threshold_tdata,
  input  wire                      s_axis_threshold_tvalid,
  output wire                      s_axis_threshold_tready,
  input  wire                      s_axis_threshold_tlast,

  // Results: an output pixel of COLS lanes a beat
  output wire [COLS*SUM_WIDTH-1:0] m_axis_tdata,
  output wire [COLS*SUM_WIDTH/8-1:0] m_axis_tkeep,
  output wire                      m_axis_tvalid,
  input  wire                      m_axis_tready,
  output wire                      m_axis_tlast
);

  localparam ACT_AW = $clog2(ACT_WORDS);
  localparam WEIGHT_AW = $clog2(WEIGHT_WORDS);
  localparam THRESHOLD_WORDS = 16 * THRESHOLD_TILES;
  localparam THRESHOLD_AW = $clog2(THRESHOLD_WORDS);
  localparam PIXEL_AW = $clog2(PIXELS);
  localparam ACT_WORD = ROWS * ACT_WIDTH;
  localparam WEIGHT_WORD = ROWS * WEIGHT_WIDTH;
  // The least that the array takes; see systolic_array.v
  localparam PSUM_WIDTH = WEIGHT_WIDTH + (ACT_SIGNED != 0
    ? $clog2(ROWS * (1 << (ACT_WIDTH - 1)) + 1) : $clog2(ROWS * ((1 << ACT_WIDTH) - 1)));
  // From the address generator to the psums: memory, two registers, and the array
  localparam LATENCY = 3 + ROWS + COLS - 1;
  // Enough entries for every pixel between address generator and output
  localparam FIFO_DEPTH = 1 << $clog2(LATENCY + 10);

  // A module that does not exist stops every tool at elaboration, and its name says why.
  generate
    if (ROWS < 2 || ROWS > 254 || COLS < 4 || COLS > 254 ||
        ROWS % 2 != 0 || COLS % 2 != 0) begin : g_check_array
      ERROR_ROWS_must_be_2_to_254_and_COLS_4_to_254_both_even error ();
    end
    if (ACT_WIDTH < 1 || ACT_WIDTH > 8 || WEIGHT_WIDTH < 2 || WEIGHT_WIDTH > 8) begin : g_check_codes
      ERROR_ACT_WIDTH_must_be_1_to_8_and_WEIGHT_WIDTH_2_to_8 error ();
    end
    if (SUM_WIDTH <= PSUM_WIDTH || SUM_WIDTH > 32 || SUM_WIDTH % 8 != 0) begin : g_check_sum
      ERROR_SUM_WIDTH_must_be_16_24_or_32_and_wider_than_a_psum error ();
    end
    if (ACT_WORDS < 2 || WEIGHT_WORDS < 2 * COLS || WEIGHT_WORDS % COLS != 0 ||
        PIXELS < 2) begin : g_check_words
      ERROR_memories_need_2_words_and_WEIGHT_WORDS_a_multiple_of_COLS error ();
    end
    if (ACT_WORDS > 32768 || WEIGHT_WORDS > 32768 || PIXELS > 32768) begin : g_check_addresses
      ERROR_memories_must_have_at_most_32768_words error ();
    end
    if (THRESHOLD_TILES < 2 || THRESHOLD_TILES != 1 << $clog2(THRESHOLD_TILES) ||
        THRESHOLD_TILES > 256) begin : g_check_tiles
      ERROR_THRESHOLD_TILES_must_be_a_power_of_two_from_2_to_256 error ();
    end
    if (POOL_WIDTH < 0 || POOL_WIDTH > 254 || POOL_WIDTH % 2 != 0) begin : g_check_pool
      ERROR_POOL_WIDTH_must_be_0_to_254_and_even error ();
    end
  endgenerate

  // Registers and control

  wire        hold;
  wire        change;
  wire        start;
  wire        clear;
  wire        busy;
  wire        done;
  wire [ 3:0] error;
  wire [31:0] cycles;
  wire [31:0] stalls;
  wire [15:0] set_height;
  wire [15:0] set_width;
  wire [ 7:0] set_kernel;
  wire [ 7:0] set_stride;
  wire [ 7:0] set_padding;
  wire [15:0] set_input_tiles;
  wire [15:0] set_output_tiles;
  wire [31:0] set_images;
  wire [ 3:0] set_mode;
  wire        set_pool;
  wire        set_keep_acts;
  wire        set_keep_weights;
  wire        set_keep_thresholds;

  registers #(
    .ROWS           (ROWS),
    .COLS           (COLS),
    .ACT_WIDTH      (ACT_WIDTH),
    .ACT_SIGNED     (ACT_SIGNED),
    .WEIGHT_WIDTH   (WEIGHT_WIDTH),
    .SUM_WIDTH      (SUM_WIDTH),
    .ACT_WORDS      (ACT_WORDS),
    .WEIGHT_WORDS   (WEIGHT_WORDS),
    .THRESHOLD_TILES(THRESHOLD_TILES),
    .PIXELS         (PIXELS),
    .OUTPUT_SCALING (OUTPUT_SCALING),
    .POOL_WIDTH     (POOL_WIDTH)
  ) registers (
    .clk_i            (clk_i),
    .rst_i            (rst_i),
    .s_axil_awaddr    (s_axil_awaddr),
    .s_axil_awprot    (s_axil_awprot),
    .s_axil_awvalid   (s_axil_awvalid),
    .s_axil_awready   (s_axil_awready),
    .s_axil_wdata     (s_axil_wdata),
    .s_axil_wstrb     (s_axil_wstrb),
    .s_axil_wvalid    (s_axil_wvalid),
    .s_axil_wready    (s_axil_wready),
    .s_axil_bresp     (s_axil_bresp),
    .s_axil_bvalid    (s_axil_bvalid),
    .s_axil_bready    (s_axil_bready),
    .s_axil_araddr    (s_axil_araddr),
    .s_axil_arprot    (s_axil_arprot),
    .s_axil_arvalid   (s_axil_arvalid),
    .s_axil_arready   (s_axil_arready),
    .s_axil_rdata     (s_axil_rdata),
    .s_axil_rresp     (s_axil_rresp),
    .s_axil_rvalid    (s_axil_rvalid),
    .s_axil_rready    (s_axil_rready),
    .hold_i           (hold),
    .change_o         (change),
    .start_o          (start),
    .clear_o          (clear),
    .busy_i           (busy),
    .done_i           (done),
    .error_i          (error),
    .cycles_i         (cycles),
    .stalls_i         (stalls),
    .height_o         (set_height),
    .width_o          (set_width),
    .kernel_o         (set_kernel),
    .stride_o         (set_stride),
    .padding_o        (set_padding),
    .input_tiles_o    (set_input_tiles),
    .output_tiles_o   (set_output_tiles),
    .images_o         (set_images),
    .mode_o           (set_mode),
    .pool_o           (set_pool),
    .keep_acts_o      (set_keep_acts),
    .keep_weights_o   (set_keep_weights),
    .keep_thresholds_o(set_keep_thresholds)
  );

  wire        load;
  wire [ 3:0] layer_error;
  wire [ 7:0] height;
  wire [ 7:0] width;
  wire [ 8:0] out_height;
  wire [ 8:0] out_width;
  wire [ 2:0] kernel;
  wire        stride2;
  wire [ 1:0] padding;
  wire [ 6:0] row_taps;
  wire [ 6:0] col_taps;
  wire [ 7:0] input_tiles;
  wire [ 7:0] output_tiles;
  wire [ 3:0] mode;
  wire        pool;
  wire [15:0] images;
  wire [15:0] map_pixels;
  wire [15:0] tile_pixels;
  wire [15:0] out_map_pixels;
  wire [15:0] out_tile_pixels;
  wire [15:0] tile_weights;
  wire [15:0] weight_words;
  wire [15:0] act_words;
  wire [15:0] threshold_words;

  geometry #(
    .ROWS           (ROWS),
    .COLS           (COLS),
    .ACT_WIDTH      (ACT_WIDTH),
    .ACT_SIGNED     (ACT_SIGNED),
    .WEIGHT_WIDTH   (WEIGHT_WIDTH),
    .SUM_WIDTH      (SUM_WIDTH),
    .ACT_WORDS      (ACT_WORDS),
    .WEIGHT_WORDS   (WEIGHT_WORDS),
    .THRESHOLD_TILES(THRESHOLD_TILES),
    .PIXELS         (PIXELS),
    .OUTPUT_SCALING (OUTPUT_SCALING),
    .POOL_WIDTH     (POOL_WIDTH)
  ) geometry (
    .clk_i            (clk_i),
    .load_i           (load),
    .height_i         (set_height),
    .width_i          (set_width),
    .kernel_i         (set_kernel),
    .stride_i         (set_stride),
    .padding_i        (set_padding),
    .input_tiles_i    (set_input_tiles),
    .output_tiles_i   (set_output_tiles),
    .images_i         (set_images),
    .mode_i           (set_mode),
    .pool_i           (set_pool),
    .error_o          (layer_error),
    .height_o         (height),
    .width_o          (width),
    .out_height_o     (out_height),
    .out_width_o      (out_width),
    .kernel_o         (kernel),
    .stride2_o        (stride2),
    .padding_o        (padding),
    .row_taps_o       (row_taps),
    .col_taps_o       (col_taps),
    .input_tiles_o    (input_tiles),
    .output_tiles_o   (output_tiles),
    .mode_o           (mode),
    .pool_o           (pool),
    .images_o         (images),
    .map_pixels_o     (map_pixels),
    .tile_pixels_o    (tile_pixels),
    .out_map_pixels_o (out_map_pixels),
    .out_tile_pixels_o(out_tile_pixels),
    .tile_weights_o   (tile_weights),
    .weight_words_o   (weight_words),
    .act_words_o      (act_words),
    .threshold_words_o(threshold_words)
  );

  wire acts_full;
  wire weights_full;
  wire thresholds_full;
  wire accumulator_ready;
  wire waiting;
  wire restart;
  wire prime;
  wire run;
  wire finish;
  wire drop;

  wire [15:0] acts_length;
  wire [15:0] weights_length;
  wire [15:0] thresholds_length;

  // CODES needs thresholds, and SCALED a packet of the same length.
  wire needs_thresholds = mode[1] || mode[2];

  // Whether the packets are right or wrong. Control uses these registers a cycle later, and not in the
  // cycle after a reset.
  reg acts_wrong;
  reg weights_wrong;
  reg thresholds_wrong;
  reg packets_ready;

  wire acts_right = acts_full && acts_length == act_words;
  wire weights_right = weights_full && weights_length == weight_words;
  wire thresholds_right = thresholds_full && thresholds_length == threshold_words;

  always @(posedge clk_i) begin
    acts_wrong       <= acts_full && !acts_right;
    weights_wrong    <= weights_full && !weights_right;
    thresholds_wrong <= thresholds_full && !thresholds_right && needs_thresholds;
    packets_ready    <= acts_right && weights_right && (thresholds_right || !needs_thresholds) &&
                        accumulator_ready;
  end

  control control (
    .clk_i         (clk_i),
    .rst_i         (rst_i),
    .change_i      (change),
    .start_i       (start),
    .clear_i       (clear),
    .hold_o        (hold),
    .error_i       (layer_error),
    .ready_i       (packets_ready),
    .wrong_length_i(acts_wrong || weights_wrong || thresholds_wrong),
    .waiting_i     (waiting),
    .last_beat_i   (m_axis_tvalid && m_axis_tready && m_axis_tlast),
    .load_o        (load),
    .restart_o     (restart),
    .prime_o       (prime),
    .run_o         (run),
    .finish_o      (finish),
    .drop_o        (drop),
    .busy_o        (busy),
    .done_o        (done),
    .error_o       (error),
    .cycles_o      (cycles),
    .stalls_o      (stalls)
  );

  assign interrupt_o = done || error != 0;

  // The three input streams, each into two banks

  reg keep_acts;
  reg keep_weights;
  reg keep_thresholds;

  always @(posedge clk_i) begin
    if (load) begin
      {keep_acts, keep_weights, keep_thresholds} <=
        {set_keep_acts, set_keep_weights, set_keep_thresholds};
    end
  end

  wire                      act_write;
  wire                      act_write_bank;
  wire [        ACT_AW-1:0] act_write_address;
  wire [      ACT_WORD-1:0] act_write_data;
  wire                      act_bank;
  wire                      weight_write;
  wire                      weight_write_bank;
  wire [     WEIGHT_AW-1:0] weight_write_address;
  wire [   WEIGHT_WORD-1:0] weight_write_data;
  wire                      weight_bank;
  wire                      threshold_write;
  wire                      threshold_write_bank;
  wire [  THRESHOLD_AW-1:0] threshold_write_address;
  wire [COLS*SUM_WIDTH-1:0] threshold_write_data;
  wire                      threshold_bank;

  stream_bank #(.WIDTH(ACT_WORD), .WORDS(ACT_WORDS)) act_stream (
    .clk_i          (clk_i),
    .rst_i          (rst_i),
    .tdata_i        (s_axis_act_tdata[ACT_WORD-1:0]),
    .tvalid_i       (s_axis_act_tvalid),
    .tready_o       (s_axis_act_tready),
    .tlast_i        (s_axis_act_tlast),
    .write_o        (act_write),
    .write_bank_o   (act_write_bank),
    .write_address_o(act_write_address),
    .write_data_o   (act_write_data),
    .full_o         (acts_full),
    .bank_o         (act_bank),
    .length_o       (acts_length),
    .release_i      ((finish && !keep_acts) || (drop && acts_wrong))
  );

  stream_bank #(.WIDTH(WEIGHT_WORD), .WORDS(WEIGHT_WORDS)) weight_stream (
    .clk_i          (clk_i),
    .rst_i          (rst_i),
    .tdata_i        (s_axis_weight_tdata[WEIGHT_WORD-1:0]),
    .tvalid_i       (s_axis_weight_tvalid),
    .tready_o       (s_axis_weight_tready),
    .tlast_i        (s_axis_weight_tlast),
    .write_o        (weight_write),
    .write_bank_o   (weight_write_bank),
    .write_address_o(weight_write_address),
    .write_data_o   (weight_write_data),
    .full_o         (weights_full),
    .bank_o         (weight_bank),
    .length_o       (weights_length),
    .release_i      ((finish && !keep_weights) || (drop && weights_wrong))
  );

  stream_bank #(.WIDTH(COLS * SUM_WIDTH), .WORDS(THRESHOLD_WORDS)) threshold_stream (
    .clk_i          (clk_i),
    .rst_i          (rst_i),
    .tdata_i        (s_axis_threshold_tdata),
    .tvalid_i       (s_axis_threshold_tvalid),
    .tready_o       (s_axis_threshold_tready),
    .tlast_i        (s_axis_threshold_tlast),
    .write_o        (threshold_write),
    .write_bank_o   (threshold_write_bank),
    .write_address_o(threshold_write_address),
    .write_data_o   (threshold_write_data),
    .full_o         (thresholds_full),
    .bank_o         (threshold_bank),
    .length_o       (thresholds_length),
    .release_i      ((finish && needs_thresholds && !keep_thresholds) ||
                     (drop && thresholds_wrong))
  );

  // Which tile, which weights, which activations

  wire        take;
  wire        tile_valid;
  wire [15:0] tile_weight_address;
  wire [15:0] tile_act_address;
  wire [ 9:0] tile_pixel;
  wire [ 8:0] tile_rows;
  wire [ 8:0] tile_cols;
  wire [ 1:0] tile_rows_outside;
  wire [ 1:0] tile_cols_outside;
  wire        tile_final;

  sequencer #(.COLS(COLS)) sequencer (
    .clk_i           (clk_i),
    .height_i        (height),
    .width_i         (width),
    .out_height_i    (out_height),
    .out_width_i     (out_width),
    .kernel_i        (kernel),
    .stride2_i       (stride2),
    .padding_i       (padding),
    .row_taps_i      (row_taps),
    .col_taps_i      (col_taps),
    .input_tiles_i   (input_tiles),
    .output_tiles_i  (output_tiles),
    .tile_pixels_i   (tile_pixels),
    .tile_weights_i  (tile_weights),
    .restart_i       (restart || rst_i),
    .prime_i         (prime),
    .take_i          (take),
    .tile_valid_o    (tile_valid),
    .weight_address_o(tile_weight_address),
    .act_address_o   (tile_act_address),
    .pixel_o         (tile_pixel),
    .rows_o          (tile_rows),
    .cols_o          (tile_cols),
    .rows_outside_o  (tile_rows_outside),
    .cols_outside_o  (tile_cols_outside),
    .final_o         (tile_final)
  );

  wire                    loader_ready;
  wire                    walker_ready;
  wire                    column_valid;
  wire [$clog2(COLS)-1:0] column;
  wire [            15:0] column_address;
  wire                    pixel_valid;
  wire                    act_swap;
  wire                    pixel_inside;
  wire                    pixel_final;
  wire [            15:0] act_address;
  wire [            15:0] pixel;
  wire                    reservable;
  wire                    reserve;

  reg running;
  always @(posedge clk_i) begin
    running <= (running || run) && !finish && !rst_i;
  end

  // A tile starts when its weights are in the shadow registers and the tile before has no more
  // activations; with its first activation the next tile's weights may follow. See rtl/README.md.
  assign take = running && tile_valid && loader_ready && walker_ready;

  weight_loader #(.COLS(COLS)) weight_loader (
    .clk_i    (clk_i),
    .rst_i    (rst_i),
    .load_i   (run || take),
    .address_i(tile_weight_address),
    .hold_i   (waiting),
    .valid_o  (column_valid),
    .col_o    (column),
    .address_o(column_address),
    .ready_o  (loader_ready)
  );

  address_generator address_generator (
    .clk_i           (clk_i),
    .rst_i           (rst_i),
    .width_i         (width),
    .out_width_i     (out_width),
    .stride2_i       (stride2),
    .images_i        (images),
    .map_pixels_i    (map_pixels),
    .out_map_pixels_i(out_map_pixels),
    .take_i          (take),
    .act_address_i   (tile_act_address),
    .pixel_i         (tile_pixel),
    .rows_i          (tile_rows),
    .cols_i          (tile_cols),
    .rows_outside_i  (tile_rows_outside),
    .cols_outside_i  (tile_cols_outside),
    .final_i         (tile_final),
    .ready_o         (walker_ready),
    .reservable_i    (reservable),
    .reserve_o       (reserve),
    .waiting_o       (waiting),
    .valid_o         (pixel_valid),
    .swap_o          (act_swap),
    .inside_o        (pixel_inside),
    .final_o         (pixel_final),
    .act_address_o   (act_address),
    .pixel_o         (pixel)
  );

  // Memories: a cycle to read, a register beside the memory, and one beside the array

  wire [   ACT_WORD-1:0] act_word;
  wire [WEIGHT_WORD-1:0] weight_word;

  banked_ram #(.WIDTH(ACT_WORD), .WORDS(ACT_WORDS)) act_ram (
    .clk_i          (clk_i),
    .write_i        (act_write),
    .write_bank_i   (act_write_bank),
    .write_address_i(act_write_address),
    .write_data_i   (act_write_data),
    .read_bank_i    (act_bank),
    .read_address_i (act_address[ACT_AW-1:0]),
    .read_data_o    (act_word)
  );

  banked_ram #(.WIDTH(WEIGHT_WORD), .WORDS(WEIGHT_WORDS)) weight_ram (
    .clk_i          (clk_i),
    .write_i        (weight_write),
    .write_bank_i   (weight_write_bank),
    .write_address_i(weight_write_address),
    .write_data_i   (weight_write_data),
    .read_bank_i    (weight_bank),
    .read_address_i (column_address[WEIGHT_AW-1:0]),
    .read_data_o    (weight_word)
  );

  wire                    array_act_valid;
  wire                    array_act_swap;
  wire [    ACT_WORD-1:0] array_act;
  wire                    array_weight_valid;
  wire [$clog2(COLS)-1:0] array_weight_col;
  wire [ WEIGHT_WORD-1:0] array_weight;

  // Activations on their way at a reset do no harm: their pixels are forgotten below, so that the
  // accumulator adds them nowhere.
  delay #(.WIDTH(2), .CYCLES(3)) act_control_delay (
    .clk_i (clk_i),
    .data_i({pixel_valid && pixel_inside, act_swap}),
    .data_o({array_act_valid, array_act_swap})
  );

  delay #(.WIDTH(ACT_WORD), .CYCLES(2)) act_delay (
    .clk_i (clk_i),
    .data_i(act_word),
    .data_o(array_act)
  );

  // After the last tile the loader has nothing to load. Columns on their way at a reset do no harm:
  // all of them are loaded again before a swap.
  delay #(.WIDTH(1 + $clog2(COLS)), .CYCLES(3)) weight_control_delay (
    .clk_i (clk_i),
    .data_i({column_valid && tile_valid, column}),
    .data_o({array_weight_valid, array_weight_col})
  );

  delay #(.WIDTH(WEIGHT_WORD), .CYCLES(2)) weight_delay (
    .clk_i (clk_i),
    .data_i(weight_word),
    .data_o(array_weight)
  );

  // Addresses have 16 bits until they meet their memory, and beats are whole bytes.
  wire unused = &{1'b0, s_axis_act_tdata, s_axis_weight_tdata, act_address[15:ACT_AW], column_address[15:WEIGHT_AW],
                  pixel[15:PIXEL_AW]};

  // Array, accumulator, output

  wire                       psum_valid;
  wire [COLS*PSUM_WIDTH-1:0] psum;

  systolic_array #(
    .ROWS        (ROWS),
    .COLS        (COLS),
    .ACT_WIDTH   (ACT_WIDTH),
    .ACT_SIGNED  (ACT_SIGNED),
    .WEIGHT_WIDTH(WEIGHT_WIDTH),
    .PSUM_WIDTH  (PSUM_WIDTH)
  ) array (
    .clk_i         (clk_i),
    .rst_i         (rst_i),
    .weight_valid_i(array_weight_valid),
    .weight_col_i  (array_weight_col),
    .weight_i      (array_weight),
    .act_valid_i   (array_act_valid),
    .act_swap_i    (array_act_swap),
    .act_i         (array_act),
    .psum_valid_o  (psum_valid),
    .psum_o        (psum)
  );

  // The accumulator wants to know the pixel two cycles before its psums come. A pixel that is
  // finished by a tap that does not reach it has no activation, and so no psums. A reset forgets all
  // pixels on their way; delay.v has no reset and would not forget them.
  reg  [ LATENCY-2:1] pixel_valid_q;
  wire [PIXEL_AW-1:0] psum_pixel;
  wire                psum_final;

  always @(posedge clk_i) begin
    pixel_valid_q <= {pixel_valid_q[LATENCY-3:1], pixel_valid} & {LATENCY - 2{!rst_i}};
  end

  delay #(.WIDTH(PIXEL_AW + 1), .CYCLES(LATENCY - 2)) pixel_delay (
    .clk_i (clk_i),
    .data_i({pixel_final, pixel[PIXEL_AW-1:0]}),
    .data_o({psum_final, psum_pixel})
  );

  wire                      sum_valid;
  wire [COLS*SUM_WIDTH-1:0] sum;

  accumulator #(
    .COLS      (COLS),
    .PSUM_WIDTH(PSUM_WIDTH),
    .SUM_WIDTH (SUM_WIDTH),
    .PIXELS    (PIXELS)
  ) accumulator (
    .clk_i        (clk_i),
    .rst_i        (rst_i),
    .ready_o      (accumulator_ready),
    .pixel_valid_i(pixel_valid_q[LATENCY-2]),
    .pixel_i      (psum_pixel),
    .final_i      (psum_final),
    .psum_valid_i (psum_valid),
    .psum_i       (psum),
    .sum_valid_o  (sum_valid),
    .sum_o        (sum)
  );

  wire                      result_valid;
  wire                      result_last;
  wire [COLS*SUM_WIDTH-1:0] result;

  output_stage #(
    .COLS          (COLS),
    .SUM_WIDTH     (SUM_WIDTH),
    .TILES         (THRESHOLD_TILES),
    .OUTPUT_SCALING(OUTPUT_SCALING)
  ) output_stage (
    .clk_i            (clk_i),
    .rst_i            (rst_i),
    .mode_i           (mode),
    .output_tiles_i   (output_tiles),
    .out_tile_pixels_i(out_tile_pixels),
    .write_i          (threshold_write),
    .write_bank_i     (threshold_write_bank),
    .write_address_i  (threshold_write_address),
    .write_data_i     (threshold_write_data),
    .read_bank_i      (threshold_bank),
    .sum_valid_i      (sum_valid),
    .sum_i            (sum),
    .valid_o          (result_valid),
    .last_o           (result_last),
    .data_o           (result)
  );

  wire                      beat_valid;
  wire                      beat_last;
  wire [COLS*SUM_WIDTH-1:0] beat;
  wire                      result_dropped;

  generate
    if (POOL_WIDTH != 0) begin : g_pool
      output_pool #(.COLS(COLS), .WIDTH(COLS * SUM_WIDTH), .POOL_WIDTH(POOL_WIDTH)) output_pool (
        .clk_i      (clk_i),
        .rst_i      (rst_i),
        .pool_i     (pool),
        .out_width_i(out_width),
        .valid_i    (result_valid),
        .last_i     (result_last),
        .data_i     (result),
        .valid_o    (beat_valid),
        .last_o     (beat_last),
        .data_o     (beat),
        .drop_o     (result_dropped)
      );
    end else begin : g_no_pool
      assign {beat_valid, beat_last, beat} = {result_valid, result_last, result};
      assign result_dropped = 1'b0;
      wire unused_pool = pool;
    end
  endgenerate

  output_fifo #(.WIDTH(1 + COLS * SUM_WIDTH), .DEPTH(FIFO_DEPTH)) output_fifo (
    .clk_i       (clk_i),
    .rst_i       (rst_i),
    .reserve_i   (reserve),
    .reservable_o(reservable),
    .valid_i     (beat_valid),
    .data_i      ({beat_last, beat}),
    .drop_i      (result_dropped),
    .valid_o     (m_axis_tvalid),
    .ready_i     (m_axis_tready),
    .data_o      ({m_axis_tlast, m_axis_tdata})
  );

  // Codes fill the lowest bytes only. The mode holds until the last beat has left.
  localparam BYTES = COLS * SUM_WIDTH / 8;
  localparam CODE_BYTES = COLS / 2;
  assign m_axis_tkeep = mode[1] ? {{(BYTES - CODE_BYTES){1'b0}}, {CODE_BYTES{1'b1}}} :
                        mode[2] ? {{(BYTES - COLS){1'b0}}, {COLS{1'b1}}} : {BYTES{1'b1}};

endmodule

`resetall
