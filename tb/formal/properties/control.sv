  reg started = 1'b0;
  always @(posedge clk_i) started <= 1'b1;

  // Cycles since the last restart_o, 15 for more; whether the sequencer was primed since; the cycle before
  reg [3:0] since_restart;
  reg primed;
  reg [31:0] past_cycles;
  reg past_busy = 1'b0;
  reg past_reset;
  reg past_run;
  reg [31:0] past_stalls;
  reg past_waiting;
  reg runs;  // from run_o to the last beat
  reg past_runs;
  reg past_last_beat;
  reg past_finish;
  reg past_drop;
  reg past_accept;
  reg past_clear;
  reg past_start;
  reg past_done;
  reg [3:0] past_error;
  reg [3:0] past_layer_error;
  reg past_can_start;
  always @(posedge clk_i) begin
    since_restart <= restart_o ? 4'd1 : (since_restart == 4'd15) ? since_restart : since_restart + 4'd1;
    primed        <= !restart_o && !rst_i && (primed || prime_o);
    runs          <= !rst_i && (run_o || (runs && !last_beat_i));
    {past_stalls, past_waiting} <= {stalls_o, waiting_i};
    {past_runs, past_last_beat} <= {runs, last_beat_i};
    {past_cycles, past_busy, past_reset} <= {cycles_o, busy_o, rst_i};
    {past_run, past_finish, past_drop, past_accept} <= {run_o, finish_o, drop_o, accept};
    {past_clear, past_start, past_done, past_error} <= {clear_i, start_i, done_o, error_o};
    {past_layer_error, past_can_start} <= {error_i, !hold_o && !busy_o};
  end

  always @* begin
    // A run begins with a reset.
    reset_first: assume (started || rst_i);
    // Packets are not ready and of a wrong length at once.
    ready_or_wrong: assume (!(ready_i && wrong_length_i));
    if (started) begin
      // The state is one of three, and settling ends where it is settled.
      lemma_state: assert (state != 2'd3 && settling <= SETTLED && settled == (settling == SETTLED));
      // After a restart nothing is primed until it is settled; then it is.
      lemma_primed: assert (since_restart != 0 && (restart_o || !idle || past_reset || settling - GEOMETRY < since_restart) &&
                            (restart_o || !idle || primed == (settling == SETTLED)) && (!busy_o || primed) && runs == (state == RUN));
      // The sequencer is primed once after each restart, at the earliest in the fourth cycle.
      primes_once: assert (!prime_o || (!primed && since_restart >= 4));
      // A layer runs only after the sequencer was primed, with packets of the right lengths.
      runs_primed: assert (!run_o || (primed && ready_i && !drop_o));
      // While a layer runs, nothing of the layer is loaded, restarted or primed.
      layer_stays_while_busy: assert (!busy_o || (!load_o && !restart_o && !prime_o));
      // A layer that was accepted ends with its last beat, or when packets are dropped, and in no other way.
      ends_with_last_beat: assert (past_reset || !past_busy || busy_o != (past_runs ? past_last_beat : past_drop));
      // Only the start of a layer without error, while nothing runs, makes the core busy.
      starts_when_asked: assert (!busy_o || past_busy || (past_accept && past_start && past_layer_error == 0 && past_can_start));
      // done is set by the last beat, and cleared by an accepted start or a clear, and by nothing else.
      done_until_next: assert (done_o == (!past_reset && ((past_runs && past_last_beat) || (past_done && !past_accept && !past_clear))));
      // A start while a layer runs leaves it running, and says so.
      start_while_busy: assert (past_reset || !past_busy || !past_start || past_drop || (error_o == `CORE_ERROR_START_WHILE_BUSY && (busy_o || past_finish)));
      // A layer with an error is not started, and its error is reported.
      error_is_told: assert (past_reset || !past_start || !past_can_start || past_layer_error == 0 || (!busy_o && error_o == past_layer_error));
      // Packets of a wrong length are reported when they are dropped.
      dropped_is_told: assert (past_reset || !past_drop || error_o == `CORE_ERROR_PACKET_LENGTH);
      // CYCLES counts every cycle of a layer, from 2 in the first one after the start.
      cycles_count: assert (past_reset || cycles_o == (past_accept ? 2 : past_busy ? past_cycles + 1 : past_cycles));
      // STALLS counts the cycles of a layer that waits for packets, or for a place at the output.
      stalls_count: assert (past_reset || stalls_o == (past_accept ? !past_run : past_stalls + (past_busy && (past_waiting || !past_runs && !past_run))));
      // A layer runs and ends.
      done: cover (done_o && cycles_o == 6 && stalls_o == 1);
      // A layer that waited is dropped.
      dropped: cover (past_drop && !past_accept);
      // A register is written while a layer runs, which starts again afterwards.
      second_layer: cover (past_finish && done_o && past_done == 0 && error_o == `CORE_ERROR_START_WHILE_BUSY);
    end
  end
