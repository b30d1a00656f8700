// Compares a module (`gold`) with its mutant (`gate`), over one cycle and over two; equivalence.py
// says what follows. Registers are cut out of both: the state enters by *_now, leaves by *_next.
// `same` are the bits of registers that must agree, `other` those that may differ. `trigger` is 1
// if outputs, or `same` bits of the next state, do not agree. Widths are macros of the command.
`default_nettype none

// Both modules for one cycle, given the same inputs
module cycle_of_both (
  input  wire [`INPUTS-1:0]    inputs,
  input  wire [`CONSTANTS-1:0] constants,
  input  wire [`SAME-1:0]      same_now,
  input  wire [`OTHER-1:0]     gold_other_now,
  input  wire [`OTHER-1:0]     gate_other_now,
  output wire [`SAME-1:0]      same_next,
  output wire [`OTHER-1:0]     gold_other_next,
  output wire [`OTHER-1:0]     gate_other_next,
  output wire                  differ
);
  wire [`OUTPUTS-1:0] gold_outputs, gate_outputs;
  wire [`SAME-1:0]    gate_same_next;
  gold gold (.inputs(inputs), .constants(constants), .outputs(gold_outputs),
             .same_now(same_now), .same_next(same_next),
             .other_now(gold_other_now), .other_next(gold_other_next));
  gate gate (.inputs(inputs), .constants(constants), .outputs(gate_outputs),
             .same_now(same_now), .same_next(gate_same_next),
             .other_now(gate_other_now), .other_next(gate_other_next));
  assign differ = {gold_outputs, same_next} != {gate_outputs, gate_same_next};
endmodule

// From one and the same state
module over_one_cycle (
  input  wire [`INPUTS-1:0]    inputs,
  input  wire [`CONSTANTS-1:0] constants,
  input  wire [`SAME-1:0]      same,
  input  wire [`OTHER-1:0]     other,
  output wire                  trigger
);
  cycle_of_both first (.inputs(inputs), .constants(constants), .same_now(same),
                       .gold_other_now(other), .gate_other_now(other), .differ(trigger));
endmodule

// From states that may differ in `other`, if both agree in the first cycle
module over_two_cycles (
  input  wire [2*`INPUTS-1:0]  inputs,
  input  wire [`CONSTANTS-1:0] constants,
  input  wire [`SAME-1:0]      same,
  input  wire [`OTHER-1:0]     gold_other,
  input  wire [`OTHER-1:0]     gate_other,
  output wire                  trigger
);
  wire [`SAME-1:0]  same_later;
  wire [`OTHER-1:0] gold_later, gate_later;
  wire              differ;
  cycle_of_both first (.inputs(inputs[`INPUTS-1:0]), .constants(constants), .same_now(same),
                       .gold_other_now(gold_other), .gate_other_now(gate_other),
                       .same_next(same_later), .gold_other_next(gold_later),
                       .gate_other_next(gate_later), .differ(differ));
  always @* assume (!differ);
  cycle_of_both second (.inputs(inputs[`INPUTS +: `INPUTS]), .constants(constants),
                        .same_now(same_later), .gold_other_now(gold_later),
                        .gate_other_now(gate_later), .differ(trigger));
endmodule
`default_nettype wire
