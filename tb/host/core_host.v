`resetall
`timescale 1ns / 1ps
`default_nettype none

// A host for the core, in Verilog for speed: plays whole programs of layers from memory, and writes what
// comes out to a file. Nobody has to look at it between load and done; tb/host/core_program.py writes the files.
//
//   act.bin, weight.bin, threshold.bin   beats: a byte that is 1 where the packet ends, then the data,
//                                        highest byte first
//   jobs.bin                             layers: registers MAP, KERNEL, TILES, IMAGES, OUTPUT, 4 bytes each
//   results.bin                          beats, as 32-bit words in the order of this machine's bytes,
//                                        lowest first; the last word is 1 where the packet ends
//   psums.bin                            with +psums: the array's, likewise; they have no last word
//   status.txt                           numbers: jobs, beats, cycles from the first start to the last beat,
//                                        sum of the jobs' CYCLES, sum of their STALLS, first error, beats with X or Z, the
//                                        first of them, its lowest such bit, hang
module core_host #(
  // Parameters of the core, which has 8 rows and 8 columns here; see core.v
  parameter ACT_WIDTH = 4,
  parameter ACT_SIGNED = 0,
  parameter WEIGHT_WIDTH = 4,
  parameter SUM_WIDTH = 24,
  parameter POOL_WIDTH = 0
) (
  input  wire clk_i,

  // Read the files, and send the first packets; ready when the core has them
  input  wire load_i,
  output reg  ready_o,
  // Run all jobs; done when the last result is in its file
  input  wire go_i,
  output reg  done_o
);

  localparam ACTS = 8 * ACT_WIDTH;
  localparam WEIGHTS = 8 * WEIGHT_WIDTH;
  localparam LANES = 8 * SUM_WIDTH;
  // A beat of psums.bin, in bits: eight of the widest psums, and so many zeros above narrower ones
  localparam PSUMS = 160;
  localparam MAX_JOBS = 8192;
  // Cycles after reset in which the accumulator is cleared
  localparam CLEARING = 1100;
  // Cycles after the last layer in which nothing more may come
  localparam AFTERWARDS = 50;
  // Without a beat for so many cycles something hangs; +patience=N
  localparam PATIENCE = 1000000;

  reg  [      6:0] awaddr = 0;
  reg              wvalid = 0;
  reg  [     31:0] wdata = 0;
  wire             wready;
  wire             interrupt;
  wire [LANES-1:0] result;
  wire             result_valid;
  wire             result_last;
  wire [ ACTS-1:0] act_data;
  wire             act_valid;
  wire             act_ready;
  wire             act_last;
  wire             act_loaded;
  wire [WEIGHTS-1:0] weight_data;
  wire             weight_valid;
  wire             weight_ready;
  wire             weight_last;
  wire             weight_loaded;
  wire [LANES-1:0] threshold_data;
  wire             threshold_valid;
  wire             threshold_ready;
  wire             threshold_last;
  wire             threshold_loaded;

  reg  load_q = 0;
  reg  go_q = 0;
  wire load = load_i && !load_q;
  wire go = go_i && !go_q;

  integer age = 0;
  reg     rst = 1'b1;

  core_host_stream #(.FILE("act.bin"), .WIDTH(ACTS), .DEPTH(1 << 18)) act (
    .clk_i(clk_i), .load_i(load), .go_i(go_q), .data_o(act_data), .valid_o(act_valid),
    .ready_i(act_ready && !rst), .last_o(act_last), .loaded_o(act_loaded)
  );

  core_host_stream #(.FILE("weight.bin"), .WIDTH(WEIGHTS), .DEPTH(1 << 19)) weight (
    .clk_i(clk_i), .load_i(load), .go_i(go_q), .data_o(weight_data), .valid_o(weight_valid),
    .ready_i(weight_ready && !rst), .last_o(weight_last), .loaded_o(weight_loaded)
  );

  core_host_stream #(.FILE("threshold.bin"), .WIDTH(LANES), .DEPTH(1 << 12)) threshold (
    .clk_i(clk_i), .load_i(load), .go_i(go_q), .data_o(threshold_data), .valid_o(threshold_valid),
    .ready_i(threshold_ready && !rst), .last_o(threshold_last), .loaded_o(threshold_loaded)
  );

  core #(
    .ACT_WIDTH   (ACT_WIDTH),
    .ACT_SIGNED  (ACT_SIGNED),
    .WEIGHT_WIDTH(WEIGHT_WIDTH),
    .SUM_WIDTH   (SUM_WIDTH),
    .POOL_WIDTH  (POOL_WIDTH)
  ) core (
    .clk_i                  (clk_i),
    .rst_i                  (rst),
    .interrupt_o            (interrupt),
    .s_axil_awaddr          (awaddr),
    .s_axil_awprot          (3'b000),
    .s_axil_awvalid         (wvalid),
    .s_axil_awready         (),
    .s_axil_wdata           (wdata),
    .s_axil_wstrb           (4'b1111),
    .s_axil_wvalid          (wvalid),
    .s_axil_wready          (wready),
    .s_axil_bresp           (),
    .s_axil_bvalid          (),
    .s_axil_bready          (1'b1),
    .s_axil_araddr          (7'h00),
    .s_axil_arprot          (3'b000),
    .s_axil_arvalid         (1'b0),
    .s_axil_arready         (),
    .s_axil_rdata           (),
    .s_axil_rresp           (),
    .s_axil_rvalid          (),
    .s_axil_rready          (1'b1),
    .s_axis_act_tdata       (act_data),
    .s_axis_act_tvalid      (act_valid),
    .s_axis_act_tready      (act_ready),
    .s_axis_act_tlast       (act_last),
    .s_axis_weight_tdata    (weight_data),
    .s_axis_weight_tvalid   (weight_valid),
    .s_axis_weight_tready   (weight_ready),
    .s_axis_weight_tlast    (weight_last),
    .s_axis_threshold_tdata (threshold_data),
    .s_axis_threshold_tvalid(threshold_valid),
    .s_axis_threshold_tready(threshold_ready),
    .s_axis_threshold_tlast (threshold_last),
    .m_axis_tdata           (result),
    .m_axis_tkeep           (),
    .m_axis_tvalid          (result_valid),
    .m_axis_tready          (1'b1),
    .m_axis_tlast           (result_last)
  );

  // The jobs: five registers, the next layer's while one runs; then, when it is done, a start.
  localparam [2:0] IDLE = 3'd0;
  localparam [2:0] SET = 3'd1;
  localparam [2:0] START = 3'd2;
  localparam [2:0] FINISH = 3'd3;
  localparam [2:0] DRAIN = 3'd4;

  reg [159:0] jobs [0:MAX_JOBS-1];
  reg [  2:0] state = IDLE;
  reg [  2:0] register_number = 0;
  // Cycles since the last start was written, up to 3: then interrupt_o is this layer's
  reg [  1:0] since_start = 0;
  integer     job_count = 0;
  integer     job = 0;
  integer     beats = 0;
  integer     idle = 0;
  integer     now = 0;
  integer     began = 0;
  integer     ended = 0;
  integer     counted = 0;
  integer     stalls = 0;
  integer     first_error = 0;
  integer     unknown = 0;
  integer     unknown_beat = 0;
  integer     unknown_bit = 0;
  integer     index = 0;
  integer     draining = 0;
  integer     patience = PATIENCE;
  // The files of results are open: from the first packets on until all jobs are done
  reg         open = 0;

  wire [  159:0] settings = jobs[job];
  wire [PSUMS-1:0] psums = core.psum;
  wire         finished = interrupt && since_start == 2'd3;
  wire         hang = idle > patience;

  integer jobs_file;
  integer results_file;
  integer psums_file;
  integer status_file;
  integer bytes;
  reg     keep_psums;

  initial begin
    ready_o    = 1'b0;
    done_o     = 1'b0;
    keep_psums = $test$plusargs("psums") != 0;
    if ($value$plusargs("patience=%d", patience) == 0) patience = PATIENCE;
  end

  always @(posedge clk_i) begin
    load_q  <= load_i;
    go_q    <= go_i;
    age     <= age + (age <= CLEARING);
    rst     <= age < 3;
    now     <= now + 1;
    ready_o <= load_q && act_loaded && weight_loaded && threshold_loaded && age > CLEARING;

    if (load) begin
      jobs_file = $fopen("jobs.bin", "rb");
      bytes     = $fread(jobs, jobs_file);
      $fclose(jobs_file);
      job_count <= bytes / 20;
      done_o    <= 1'b0;
      results_file = $fopen("results.bin", "wb");
      if (keep_psums) psums_file = $fopen("psums.bin", "wb");
      open    <= 1'b1;
      beats   <= 0;
      unknown <= 0;
    end

    if (go) begin
      state           <= SET;
      register_number <= 3'd0;
      job             <= 0;
      idle            <= 0;
      counted         <= 0;
      stalls          <= 0;
      first_error     <= 0;
      draining        <= 0;
    end

    // What comes before the first job is too much; it goes to the file too.
    if (open && !rst) begin
      if (state != IDLE) idle <= idle + 1;
      if (result_valid) begin
        $fwrite(results_file, "%u", {31'd0, result_last, result});
        beats <= beats + 1;
        if (^result === 1'bx) begin
          if (unknown == 0) begin
            unknown_beat <= beats;
            for (index = LANES - 1; index >= 0; index = index - 1) begin
              if ((result[index] ^ result[index]) === 1'bx) unknown_bit <= index;
            end
          end
          unknown <= unknown + 1;
        end
        ended <= now;
        idle  <= 0;
      end
      if (keep_psums && core.psum_valid) begin
        $fwrite(psums_file, "%u", psums);
      end
    end

    if (since_start != 2'd3) since_start <= since_start + 1'b1;

    case (state)
      SET: begin
        if (!wvalid || wready) begin
          wvalid <= register_number != 3'd5;
          awaddr <= 7'h40 + {2'd0, register_number, 2'd0};
          wdata  <= settings[159 - 32 * register_number -: 32];
          register_number <= register_number + 1'b1;
          if (register_number == 3'd5) state <= START;
        end
      end
      START: begin
        if (!wvalid && (job == 0 || finished)) begin
          wvalid <= 1'b1;
          awaddr <= 7'h20;
          wdata  <= 32'd1;
        end else if (wvalid && wready) begin
          wvalid          <= 1'b0;
          if (job == 0) began <= now;
          since_start     <= 2'd0;
          register_number <= 3'd0;
          job             <= job + 1;
          state           <= (job + 1 == job_count) ? FINISH : SET;
        end
      end
      default: ;
    endcase

    // The counters of the layer that is done, before the next one starts
    if (finished && ((state == START && !wvalid && job != 0) || state == FINISH)) begin
      counted <= counted + core.cycles;
      stalls  <= stalls + core.stalls;
      if (first_error == 0) first_error <= core.error;
    end

    // What comes after the end is too much; it goes to the file too.
    if (state == FINISH && finished) state <= DRAIN;
    if (state == DRAIN) draining <= draining + 1;
    if (draining == AFTERWARDS || (state != IDLE && hang)) begin
      state  <= IDLE;
      wvalid <= 1'b0;
    end
    // A cycle later the counters are complete.
    if (state == IDLE && go_q && !go && !done_o) begin
      open <= 1'b0;
      $fclose(results_file);
      if (keep_psums) $fclose(psums_file);
      status_file = $fopen("status.txt", "w");
      $fwrite(status_file, "%0d %0d %0d %0d %0d %0d %0d %0d %0d %0d\n", job, beats, ended - began + 1,
              counted, stalls, first_error, unknown, unknown_beat, unknown_bit, hang);
      $fclose(status_file);
      done_o <= 1'b1;
    end
  end

endmodule

// One input stream, from a file.
module core_host_stream #(
  parameter FILE = "act.bin",
  parameter WIDTH = 32,
  parameter DEPTH = 1024
) (
  input  wire             clk_i,
  // Read the file and send the first packet; with go, all others
  input  wire             load_i,
  input  wire             go_i,
  output reg  [WIDTH-1:0] data_o,
  output reg              valid_o,
  input  wire             ready_i,
  output reg              last_o,
  // The core has the first packet, or there is none
  output reg              loaded_o
);

  reg [WIDTH+7:0] beats [0:DEPTH-1];
  integer         file;
  integer         bytes;
  integer         count = 0;
  integer         next = 0;

  initial begin
    valid_o  = 1'b0;
    last_o   = 1'b0;
    loaded_o = 1'b0;
  end

  always @(posedge clk_i) begin
    if (load_i) begin
      file  = $fopen(FILE, "rb");
      bytes = $fread(beats, file);
      $fclose(file);
      count    <= bytes * 8 / (WIDTH + 8);
      next     <= 0;
      loaded_o <= bytes == 0;
    end else if (!valid_o || ready_i) begin
      if (valid_o && last_o) loaded_o <= 1'b1;
      if (next != count && (go_i || !(loaded_o || (valid_o && last_o)))) begin
        {last_o, data_o} <= beats[next][WIDTH:0];
        next             <= next + 1;
        valid_o          <= 1'b1;
      end else begin
        valid_o <= 1'b0;
      end
    end
  end

endmodule

// The host with a clock of its own, for a bench that only loads, goes and waits; with +alone for none.
//
// The clock ticks BURST times in each time step: between time steps a simulator looks for callbacks, which
// would cost as much as the core. So simulated time does not give the number of
// cycles; the host counts them.
module core_host_clocked #(
  parameter ACT_WIDTH = 4,
  parameter ACT_SIGNED = 0,
  parameter WEIGHT_WIDTH = 4,
  parameter SUM_WIDTH = 24,
  parameter POOL_WIDTH = 0
);

  localparam BURST = 32;

  reg     clk = 1'b0;
  reg     burst = 1'b0;
  integer edges = 0;
  reg     load = 1'b0;
  reg     go = 1'b0;
  wire    ready;
  wire    done;

  always #10 begin
    edges = 2 * BURST;
    burst = !burst;
  end

  always @(burst or clk) begin
    if (edges != 0) begin
      edges <= edges - 1;
      clk   <= !clk;
    end
  end

  core_host #(
    .ACT_WIDTH   (ACT_WIDTH),
    .ACT_SIGNED  (ACT_SIGNED),
    .WEIGHT_WIDTH(WEIGHT_WIDTH),
    .SUM_WIDTH   (SUM_WIDTH),
    .POOL_WIDTH  (POOL_WIDTH)
  ) host (
    .clk_i  (clk),
    .load_i (load),
    .ready_o(ready),
    .go_i   (go),
    .done_o (done)
  );

  initial begin
    if ($test$plusargs("alone") != 0) begin
      load = 1'b1;
      wait (ready);
      $display("go");
      $fflush;
      go = 1'b1;
      wait (done);
      $display("done");
      $fflush;
      $finish;
    end
  end

endmodule

`resetall
