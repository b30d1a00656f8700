// The sources of module core; names are relative to this file, as in the lists of taxi and Ibex.
//   -F, which Verilator and most other simulators have: verilator -F rtl/core.f
//   -f, from this folder: iverilog -f core.f
+incdir+.
pe.v
skew.v
zero_hold.v
systolic_array.v
delay.v
ram.v
bank_control.v
stream_bank.v
banked_ram.v
tap_range.v
geometry.v
registers.v
control.v
sequencer.v
weight_loader.v
address_generator.v
accumulator.v
output_stage.v
output_fifo.v
output_pool.v
core.v
