// Sizes of two_clocks.v
`define ACT_BITS 4
`define WEIGHT_BITS 4
