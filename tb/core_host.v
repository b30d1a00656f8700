`resetall
`timescale 1ns / 1ps
`default_nettype none

// A host for the core, in Verilog for speed: plays packets and layers from text files in the working
// folder, compares what comes out, and counts cycles. tb/bench.py writes the files.
//
//   act.txt, weight.txt, threshold.txt   a beat a line: data in hexadecimal, 1 where the packet ends
//   expected.txt                         the same for the results
//   jobs.txt                             a layer a line: registers MAP, KERNEL, TILES, IMAGES, OUTPUT
module core_host;

  localparam LANES = 192;
  // Without a beat for so many cycles something hangs.
  localparam PATIENCE = 1000000;

  reg clk = 1'b0;
  reg rst = 1'b1;
  always #5 clk = !clk;

  reg  [      6:0] awaddr = 0;
  reg              wvalid = 0;
  reg              go = 0;
  reg  [     31:0] wdata = 0;
  wire             wready;
  wire             interrupt;
  wire [LANES-1:0] result;
  wire             result_valid;
  wire             result_last;
  wire [     31:0] act_data;
  wire             act_valid;
  wire             act_ready;
  wire             act_last;
  wire             act_loaded;
  wire [     31:0] weight_data;
  wire             weight_valid;
  wire             weight_ready;
  wire             weight_last;
  wire             weight_loaded;
  wire [LANES-1:0] threshold_data;
  wire             threshold_valid;
  wire             threshold_ready;
  wire             threshold_last;
  wire             threshold_loaded;

  core_host_stream #(.FILE("act.txt"), .WIDTH(32)) act (
    .clk_i(clk), .rst_i(rst), .go_i(go), .data_o(act_data), .valid_o(act_valid), .ready_i(act_ready),
    .last_o(act_last), .loaded_o(act_loaded)
  );

  core_host_stream #(.FILE("weight.txt"), .WIDTH(32)) weight (
    .clk_i(clk), .rst_i(rst), .go_i(go), .data_o(weight_data), .valid_o(weight_valid),
    .ready_i(weight_ready), .last_o(weight_last), .loaded_o(weight_loaded)
  );

  core_host_stream #(.FILE("threshold.txt"), .WIDTH(LANES)) threshold (
    .clk_i(clk), .rst_i(rst), .go_i(go), .data_o(threshold_data), .valid_o(threshold_valid),
    .ready_i(threshold_ready), .last_o(threshold_last), .loaded_o(threshold_loaded)
  );

  core core (
    .clk_i                  (clk),
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

  // What came, against what was expected
  integer          expected_file;
  integer          found;
  reg  [LANES-1:0] expected;
  reg              expected_last;
  integer          beats = 0;
  integer          mismatches = 0;
  integer          idle = 0;
  integer          now = 0;
  integer          ended = 0;

  always @(posedge clk) begin
    now  = now + 1;
    idle = idle + 1;
    if (result_valid && !rst) begin
      found = $fscanf(expected_file, "%h %b", expected, expected_last);
      if (found != 2 || expected !== result || expected_last !== result_last) begin
        if (mismatches == 0) begin
          $display("first mismatch: beat %0d, expected %h, got %h", beats, expected, result);
        end
        mismatches = mismatches + 1;
      end
      beats = beats + 1;
      ended = now;
      idle  = 0;
    end
    if (idle > PATIENCE) begin
      $display("hang: no beat for %0d cycles", PATIENCE);
      $finish;
    end
  end

  // Everything here happens between the rising edges, where all signals are at rest.
  task write(input [6:0] address, input [31:0] data);
    begin
      awaddr = address;
      wdata  = data;
      wvalid = 1'b1;
      #1;
      while (!wready) begin
        @(negedge clk);
        #1;
      end
      @(negedge clk);
      wvalid = 1'b0;
    end
  endtask

  integer jobs_file;
  integer jobs = 0;
  integer began = 0;
  integer counted = 0;
  integer stalls = 0;
  reg [31:0] map;
  reg [31:0] kernel;
  reg [31:0] tiles;
  reg [31:0] images;
  reg [31:0] mode;

  task finish_job;
    begin
      while (!interrupt) @(negedge clk);
      counted = counted + core.cycles;
      stalls  = stalls + core.stalls;
      if (core.error != 0) $display("error %0d", core.error);
    end
  endtask

  initial begin
    expected_file = $fopen("expected.txt", "r");
    jobs_file     = $fopen("jobs.txt", "r");
    repeat (3) @(negedge clk);
    rst = 1'b0;
    // The first packets are in the memories before the clock counts, and no others.
    repeat (1100) @(negedge clk);
    while (!(act_loaded && weight_loaded && threshold_loaded)) @(negedge clk);

    while ($fscanf(jobs_file, "%h %h %h %h %h", map, kernel, tiles, images, mode) == 5) begin
      write(7'h40, map);
      write(7'h44, kernel);
      write(7'h48, tiles);
      write(7'h4c, images);
      write(7'h50, mode);
      if (jobs > 0) finish_job;
      write(7'h20, 32'd1);
      if (jobs == 0) began = now;
      go   = 1'b1;
      jobs = jobs + 1;
      repeat (2) @(negedge clk);
    end
    finish_job;
    found = $fscanf(expected_file, "%h %b", expected, expected_last);
    if (found == 2) mismatches = mismatches + 1;
    $display("jobs %0d beats %0d mismatches %0d cycles %0d counted %0d stalls %0d", jobs, beats,
             mismatches, ended - began + 1, counted, stalls);
    $finish;
  end

endmodule

// One input stream, from a file.
module core_host_stream #(
  parameter FILE = "act.txt",
  parameter WIDTH = 32
) (
  input  wire             clk_i,
  input  wire             rst_i,
  // The first layer runs: until then only the first packet is sent
  input  wire             go_i,
  output reg  [WIDTH-1:0] data_o,
  output reg              valid_o,
  input  wire             ready_i,
  output reg              last_o,
  // The core has the first packet, or there is none
  output reg              loaded_o
);

  integer         file;
  integer         found = 2;
  reg [WIDTH-1:0] data;
  reg             last;

  initial begin
    file     = $fopen(FILE, "r");
    valid_o  = 1'b0;
    loaded_o = 1'b0;
  end

  always @(posedge clk_i) begin
    if (!rst_i && (!valid_o || ready_i)) begin
      if (valid_o && last_o) loaded_o <= 1'b1;
      if (go_i || !(loaded_o || (valid_o && last_o))) begin
        found = $fscanf(file, "%h %b", data, last);
        valid_o <= found == 2;
        data_o  <= data;
        last_o  <= last;
        if (found != 2) loaded_o <= 1'b1;
      end else begin
        valid_o <= 1'b0;
      end
    end
  end

endmodule

`resetall
