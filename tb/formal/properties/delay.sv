  // One word, of any cycle: what it was, and how long ago
  (* anyseq *) wire mark;
  reg marked = 1'b0;
  reg [WIDTH-1:0] entered;
  reg [7:0] age = 8'd0;

  always @(posedge clk_i) begin
    if (mark && (!marked || age > CYCLES)) begin
      {marked, entered, age} <= {1'b1, data_i, 8'd1};
    end else if (age != 8'd255) begin
      age <= age + 8'd1;
    end
  end

  always @* begin
    // What enters leaves exactly CYCLES cycles later.
    delayed: assert (!marked || age != CYCLES || data_o == entered);
    // A word leaves.
    leaves: cover (marked && age == CYCLES && data_o != 0);
  end
