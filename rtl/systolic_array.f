// The sources of module systolic_array. The names are relative to this file, as in the lists of taxi and Ibex.
//   with -F, which Verilator and most other simulators know: verilator -F rtl/systolic_array.f
//   with -f, from this folder: iverilog -f systolic_array.f
pe.v
skew.v
systolic_array.v
