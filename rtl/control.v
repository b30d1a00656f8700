`resetall
`timescale 1ns / 1ps
`default_nettype none

`include "core_registers.vh"

// Starts a layer or says why not, and ends it: the core's state, counters and error code.
module control #(
  // Bits of the two counters; the registers have 32
  parameter COUNTER_WIDTH = 32
) (
  input  wire        clk_i,
  input  wire        rst_i,

  // From the registers; see registers.v
  input  wire        change_i,
  input  wire        start_i,
  input  wire        clear_i,
  // A start has to wait: what follows from the registers is not yet known
  output wire        hold_o,

  // Why the layer cannot run; 0: it can run
  input  wire [ 3:0] error_i,
  // ready: all packets of the layer are there and the accumulator is clear; wrong_length: a packet has
  // another length; never both
  input  wire        ready_i,
  input  wire        wrong_length_i,
  // The output has no place for a finished pixel; the last beat leaves
  input  wire        waiting_i,
  input  wire        last_beat_i,

  // The registers may still change the layer
  output wire        load_o,
  // restart and prime of the sequencer; run: the layer runs from the next cycle on
  output wire        restart_o,
  output wire        prime_o,
  output wire        run_o,
  // The layer's packets are no longer needed; packets of a wrong length are dropped
  output wire        finish_o,
  output wire        drop_o,

  output wire        busy_o,
  output reg         done_o,
  output reg  [ 3:0] error_o,
  // Cycles of the layer that runs or ran last, and the cycles in which that layer waited; both restart at
  // 0 after the largest value
  output reg  [COUNTER_WIDTH-1:0] cycles_o,
  output reg  [COUNTER_WIDTH-1:0] stalls_o
);

  localparam [1:0] IDLE = 2'd0;
  localparam [1:0] WAIT = 2'd1;
  localparam [1:0] RUN = 2'd2;

  // Cycles after a register's change: the sizes are known; the sequencer has its first tile; a start may
  // come. While a layer runs, the sizes are worked out already, except for their last register.
  localparam [3:0] RUNNING = 4'd3;
  localparam [3:0] GEOMETRY = 4'd5;
  localparam [3:0] PRIME = 4'd8;
  localparam [3:0] SETTLED = 4'd9;

  reg  [1:0] state;
  reg  [3:0] settling;
  reg        settled;  // settling == SETTLED, known early in the cycle

  wire idle = state == IDLE;
  // A start whose write was taken in the last cycle of a layer comes when nothing is settled yet.
  wire can_start = idle && settled;
  wire accept = can_start && start_i && error_i == `CORE_ERROR_NONE;

  assign hold_o    = idle && !settled;
  assign load_o    = idle;
  assign restart_o = idle && settling < GEOMETRY;
  assign prime_o   = idle && settling == PRIME;
  assign busy_o    = !idle;
  assign run_o     = (accept || state == WAIT) && ready_i;
  assign drop_o    = (accept || state == WAIT) && wrong_length_i;
  assign finish_o  = state == RUN && last_beat_i;

  reg [3:0] settling_next;
  always @* begin
    settling_next = settling;
    if (change_i)                                      settling_next = 4'd0;
    else if ((!idle || drop_o) && settling >= RUNNING) settling_next = RUNNING;
    else if (!settled)                                 settling_next = settling + 1'b1;
  end

  always @(posedge clk_i) begin
    settling <= settling_next;
    settled  <= settling_next == SETTLED;

    if (accept || state == WAIT) begin
      state <= drop_o ? IDLE : run_o ? RUN : WAIT;
    end else if (finish_o) begin
      state <= IDLE;
    end

    if (clear_i || accept) begin
      done_o  <= 1'b0;
      error_o <= `CORE_ERROR_NONE;
    end
    if (start_i && !can_start)                       error_o <= `CORE_ERROR_START_WHILE_BUSY;
    else if (start_i && error_i != `CORE_ERROR_NONE) error_o <= error_i;
    if (drop_o)                                      error_o <= `CORE_ERROR_PACKET_LENGTH;
    if (finish_o)                                    done_o <= 1'b1;

    // The cycle of the write that starts counts, and so does the one in which start_i is seen.
    if (accept) begin
      cycles_o <= {{(COUNTER_WIDTH - 2){1'b0}}, 2'd2};
      stalls_o <= {{(COUNTER_WIDTH - 1){1'b0}}, !run_o};
    end else if (!idle) begin
      cycles_o <= cycles_o + 1'b1;
      if ((state == WAIT && !run_o) || waiting_i) begin
        stalls_o <= stalls_o + 1'b1;
      end
    end

    if (rst_i) begin
      state    <= IDLE;
      settling <= 4'd0;
      settled  <= 1'b0;
      done_o   <= 1'b0;
      error_o  <= 4'd0;
      cycles_o <= {COUNTER_WIDTH{1'b0}};
      stalls_o <= {COUNTER_WIDTH{1'b0}};
    end
  end

endmodule

`resetall
