  // One vector of activations, any: how long ago it entered
  (* anyseq *) wire mark;
  reg marked = 1'b0;
  reg [7:0] age = 8'd0;
  reg entered_valid;
  always @(posedge clk_i) begin
    if (mark && (!marked || age > LATENCY)) begin
      {marked, entered_valid, age} <= {1'b1, act_valid_i && !rst_i, 8'd1};
    end else begin
      if (age != 8'd255) age <= age + 8'd1;
      if (rst_i) entered_valid <= 1'b0;
    end
  end

  always @* begin
    // Psums come exactly ROWS + COLS - 1 cycles after each activation vector, and only then; none through a reset.
    exact_latency: assert (!marked || age != LATENCY || psum_valid_o == entered_valid);
    // Psums come.
    comes: cover (marked && age == LATENCY && psum_valid_o);
  end
