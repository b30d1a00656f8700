`resetall
`timescale 1ns / 1ps
`default_nettype none

`include "core_registers.vh"

// The core's registers, an AXI4-Lite slave. core.rdl is their source; REGISTERS.md describes them.
//
// An access to an address without a register, and a write to one that can only be read, answers SLVERR.
//
// Every output of the interface is a register's, for no path may lead from an input of an AXI interface to
// an output (AMBA AXI and ACE Protocol Specification, ARM IHI 0022, A3.1.1). So ready follows valid by a
// cycle, and an access can be taken in every second cycle.
module registers #(
  // What the host can read about the core; see core.v
  parameter ROWS = 8,
  parameter COLS = 8,
  parameter ACT_WIDTH = 4,
  parameter ACT_SIGNED = 0,
  parameter WEIGHT_WIDTH = 4,
  parameter SUM_WIDTH = 24,
  parameter ACT_WORDS = 8192,
  parameter WEIGHT_WORDS = 8192,
  parameter THRESHOLD_TILES = 64,
  parameter PIXELS = 1024,
  parameter OUTPUT_SCALING = 0,
  parameter POOL_WIDTH = 0
) (
  input  wire        clk_i,
  input  wire        rst_i,

  input  wire [ 6:0] s_axil_awaddr,
  input  wire [ 2:0] s_axil_awprot,
  input  wire        s_axil_awvalid,
  output reg         s_axil_awready,
  input  wire [31:0] s_axil_wdata,
  input  wire [ 3:0] s_axil_wstrb,
  input  wire        s_axil_wvalid,
  output wire        s_axil_wready,
  output wire [ 1:0] s_axil_bresp,
  output reg         s_axil_bvalid,
  input  wire        s_axil_bready,
  input  wire [ 6:0] s_axil_araddr,
  input  wire [ 2:0] s_axil_arprot,
  input  wire        s_axil_arvalid,
  output reg         s_axil_arready,
  output reg  [31:0] s_axil_rdata,
  output wire [ 1:0] s_axil_rresp,
  output reg         s_axil_rvalid,
  input  wire        s_axil_rready,

  // A write to CONTROL waits while this is high
  input  wire        hold_i,
  // A register of the layer is being written
  output wire        change_o,
  output reg         start_o,
  output reg         clear_o,

  input  wire        busy_i,
  input  wire        done_i,
  input  wire [ 3:0] error_i,
  input  wire [31:0] cycles_i,
  input  wire [31:0] stalls_i,

  output wire [15:0] height_o,
  output wire [15:0] width_o,
  output wire [ 7:0] kernel_o,
  output wire [ 7:0] stride_o,
  output wire [ 7:0] padding_o,
  output wire [15:0] input_tiles_o,
  output wire [15:0] output_tiles_o,
  output wire [31:0] images_o,
  output wire [ 3:0] mode_o,
  output wire        pool_o,
  output wire        keep_acts_o,
  output wire        keep_weights_o,
  output wire        keep_thresholds_o
);

  localparam [1:0] OKAY = 2'b00;
  localparam [1:0] SLVERR = 2'b10;

  reg  [31:0] map;
  reg  [23:0] kernel;
  reg  [31:0] tiles;
  reg  [31:0] images;
  reg  [ 3:0] mode;
  reg         pool;
  reg  [ 2:0] keep;

  assign {width_o, height_o} = map;
  assign {padding_o, stride_o, kernel_o} = kernel;
  assign {output_tiles_o, input_tiles_o} = tiles;
  assign images_o = images;
  assign {keep_thresholds_o, keep_weights_o, keep_acts_o} = keep;
  assign mode_o = mode;
  assign pool_o = pool;

  // Address and data are taken together, in the cycle after both are there: valid stays until then.
  wire [4:0] write_word = s_axil_awaddr[6:2];
  wire       write_control = write_word == `CORE_REGISTER_CONTROL;
  wire       write_layer = write_word >= `CORE_REGISTER_MAP && write_word <= `CORE_REGISTER_OUTPUT;
  wire       write = s_axil_awvalid && s_axil_wvalid && s_axil_awready;

  assign s_axil_wready = s_axil_awready;
  assign change_o      = write && write_layer;

  always @(posedge clk_i) begin
    s_axil_awready <= s_axil_awvalid && s_axil_wvalid && !s_axil_awready &&
                      (!s_axil_bvalid || s_axil_bready) && !(write_control && hold_i) && !rst_i;
    s_axil_arready <= s_axil_arvalid && !s_axil_arready && (!s_axil_rvalid || s_axil_rready) && !rst_i;
  end

  reg write_refused;
  assign s_axil_bresp = write_refused ? SLVERR : OKAY;

  // Bytes without strobe keep their value.
  wire [31:0] mask = {{8{s_axil_wstrb[3]}}, {8{s_axil_wstrb[2]}}, {8{s_axil_wstrb[1]}},
                      {8{s_axil_wstrb[0]}}};
  wire [31:0] set = s_axil_wdata & mask;

  always @(posedge clk_i) begin
    start_o <= write && write_control && set[0] && !rst_i;
    clear_o <= write && write_control && set[1] && !rst_i;
    if (write) begin
      write_refused <= !write_control && !write_layer;
    end
    if (rst_i)              s_axil_bvalid <= 1'b0;
    else if (write)         s_axil_bvalid <= 1'b1;
    else if (s_axil_bready) s_axil_bvalid <= 1'b0;
  end

  always @(posedge clk_i) begin
    if (rst_i) begin
      map    <= 32'd0;
      kernel <= 24'd0;
      tiles  <= 32'd0;
      images <= 32'd0;
      mode   <= 4'd0;
      pool   <= 1'b0;
      keep   <= 3'd0;
    end else if (write) begin
      case (write_word)
        `CORE_REGISTER_MAP:    map    <= (map & ~mask) | set;
        `CORE_REGISTER_KERNEL: kernel <= (kernel & ~mask[23:0]) | set[23:0];
        `CORE_REGISTER_TILES:  tiles  <= (tiles & ~mask) | set;
        `CORE_REGISTER_IMAGES: images <= (images & ~mask) | set;
        `CORE_REGISTER_OUTPUT: begin
          mode <= (mode & ~mask[3:0]) | set[3:0];
          pool <= (pool & ~mask[4]) | set[4];
          keep <= (keep & ~mask[10:8]) | set[10:8];
        end
        default: ;
      endcase
    end
  end

  reg read_refused;
  assign s_axil_rresp = read_refused ? SLVERR : OKAY;

  wire read = s_axil_arvalid && s_axil_arready;

  always @(posedge clk_i) begin
    if (read) begin
      read_refused <= 1'b0;
      case (s_axil_araddr[6:2])
        `CORE_REGISTER_VERSION:          s_axil_rdata <= `CORE_VERSION;
        `CORE_REGISTER_ARRAY:            s_axil_rdata <= {WEIGHT_WIDTH[7:0], ACT_WIDTH[7:0], COLS[7:0], ROWS[7:0]};
        `CORE_REGISTER_MEMORY_ACT:       s_axil_rdata <= ACT_WORDS;
        `CORE_REGISTER_MEMORY_WEIGHT:    s_axil_rdata <= WEIGHT_WORDS;
        `CORE_REGISTER_MEMORY_THRESHOLD: s_axil_rdata <= THRESHOLD_TILES;
        `CORE_REGISTER_MEMORY_PIXEL:     s_axil_rdata <= PIXELS;
        `CORE_REGISTER_SUM:              s_axil_rdata <= SUM_WIDTH;
        `CORE_REGISTER_OPTIONS:          s_axil_rdata <= {16'd0, POOL_WIDTH[7:0], 6'd0, OUTPUT_SCALING != 0, ACT_SIGNED != 0};
        `CORE_REGISTER_CONTROL:          s_axil_rdata <= 32'd0;
        `CORE_REGISTER_STATUS:           s_axil_rdata <= {24'd0, error_i, 2'd0, done_i, busy_i};
        `CORE_REGISTER_CYCLES:           s_axil_rdata <= cycles_i;
        `CORE_REGISTER_STALLS:           s_axil_rdata <= stalls_i;
        `CORE_REGISTER_MAP:              s_axil_rdata <= map;
        `CORE_REGISTER_KERNEL:           s_axil_rdata <= {8'd0, kernel};
        `CORE_REGISTER_TILES:            s_axil_rdata <= tiles;
        `CORE_REGISTER_IMAGES:           s_axil_rdata <= images;
        `CORE_REGISTER_OUTPUT:           s_axil_rdata <= {21'd0, keep, 3'd0, pool, mode};
        default: begin
          s_axil_rdata <= 32'd0;
          read_refused <= 1'b1;
        end
      endcase
    end
    if (rst_i)              s_axil_rvalid <= 1'b0;
    else if (read)          s_axil_rvalid <= 1'b1;
    else if (s_axil_rready) s_axil_rvalid <= 1'b0;
  end

  // Registers are whole words, and nobody is refused by privilege.
  wire unused = &{1'b0, s_axil_awaddr[1:0], s_axil_araddr[1:0], s_axil_awprot, s_axil_arprot};

endmodule

`resetall
