// The sources of module systolic_array; names are relative to this file, as in the lists of taxi and Ibex.
//   -F, which Verilator and most other simulators have: verilator -F rtl/systolic_array.f
//   -f, from this folder: iverilog -f systolic_array.f
pe.v
skew.v
zero_hold.v
systolic_array.v
