`resetall
`timescale 1ns / 1ps
`default_nettype none

// The core between shift registers, so that it can be placed and routed with few pins.
//
// All inputs come from a chain of registers with one pin, all outputs go to one. Every path of the core
// then starts and ends at a register, as it would beside other logic.
module core_pins (
  input  wire clk_i,
  input  wire rst_i,
  input  wire shift_i,
  input  wire capture_i,
  input  wire data_i,
  output wire data_o
);

  localparam INPUTS = 7 + 3 + 1 + 32 + 4 + 1 + 1 + 7 + 3 + 1 + 1 + 34 + 34 + 194 + 1;
  localparam OUTPUTS = 1 + 1 + 1 + 2 + 1 + 1 + 32 + 2 + 1 + 1 + 1 + 1 + 192 + 24 + 1 + 1;

  reg                [ INPUTS-1:0] inputs;
  reg                [OUTPUTS-1:0] outputs;
  wire               [OUTPUTS-1:0] results;
  reg                              reset;

  assign data_o = outputs[OUTPUTS-1];

  always @(posedge clk_i) begin
    reset <= rst_i;
    if (shift_i) inputs <= {inputs[INPUTS-2:0], data_i};
    outputs <= capture_i ? results : {outputs[OUTPUTS-2:0], 1'b0};
  end

  wire [  6:0] awaddr;
  wire [  2:0] awprot;
  wire         awvalid;
  wire [ 31:0] wdata;
  wire [  3:0] wstrb;
  wire         wvalid;
  wire         bready;
  wire [  6:0] araddr;
  wire [  2:0] arprot;
  wire         arvalid;
  wire         rready;
  wire [ 33:0] act;
  wire [ 33:0] weight;
  wire [193:0] threshold;
  wire         tready;

  assign {awaddr, awprot, awvalid, wdata, wstrb, wvalid, bready, araddr, arprot, arvalid, rready,
          act, weight, threshold, tready} = inputs;

  core core (
    .clk_i                  (clk_i),
    .rst_i                  (reset),
    .interrupt_o            (results[0]),
    .s_axil_awaddr          (awaddr),
    .s_axil_awprot          (awprot),
    .s_axil_awvalid         (awvalid),
    .s_axil_awready         (results[1]),
    .s_axil_wdata           (wdata),
    .s_axil_wstrb           (wstrb),
    .s_axil_wvalid          (wvalid),
    .s_axil_wready          (results[2]),
    .s_axil_bresp           (results[4:3]),
    .s_axil_bvalid          (results[5]),
    .s_axil_bready          (bready),
    .s_axil_araddr          (araddr),
    .s_axil_arprot          (arprot),
    .s_axil_arvalid         (arvalid),
    .s_axil_arready         (results[6]),
    .s_axil_rdata           (results[38:7]),
    .s_axil_rresp           (results[40:39]),
    .s_axil_rvalid          (results[41]),
    .s_axil_rready          (rready),
    .s_axis_act_tdata       (act[31:0]),
    .s_axis_act_tvalid      (act[32]),
    .s_axis_act_tready      (results[42]),
    .s_axis_act_tlast       (act[33]),
    .s_axis_weight_tdata    (weight[31:0]),
    .s_axis_weight_tvalid   (weight[32]),
    .s_axis_weight_tready   (results[43]),
    .s_axis_weight_tlast    (weight[33]),
    .s_axis_threshold_tdata (threshold[191:0]),
    .s_axis_threshold_tvalid(threshold[192]),
    .s_axis_threshold_tready(results[44]),
    .s_axis_threshold_tlast (threshold[193]),
    .m_axis_tdata           (results[236:45]),
    .m_axis_tkeep           (results[260:237]),
    .m_axis_tvalid          (results[261]),
    .m_axis_tready          (tready),
    .m_axis_tlast           (results[262])
  );

endmodule

`resetall
