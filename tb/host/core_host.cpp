// Drives the host without cocotb and without Verilog's scheduler, by a bare loop that toggles the
// clock. tb/host/speed.py compares this run with the run that cocotb drives.
#include <cstdio>

#include "Vcore_host.h"
#include "verilated.h"

int main(int argc, char** argv) {
    VerilatedContext context;
    context.commandArgs(argc, argv);
    Vcore_host host{&context};
    const auto cycle = [&host] {
        host.clk_i = 1;
        host.eval();
        host.clk_i = 0;
        host.eval();
    };
    const auto say = [](const char* word) {
        std::puts(word);
        std::fflush(stdout);
    };
    // All ports begin with random values. The first evaluation sets the outputs.
    host.clk_i = host.load_i = host.go_i = 0;
    host.eval();
    host.load_i = 1;
    while (!host.ready_o) cycle();
    say("go");
    host.go_i = 1;
    while (!host.done_o) cycle();
    say("done");
    return 0;
}
