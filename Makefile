# systolic-cosim: does the array compute what the trained network computes?
#
#   make              run the trained layer on the Verilog array, every psum checked
#   make test         everything under pytest, lint included
#   make help         all targets

DUT ?= tb/components/own_array.py
MODEL ?= training/shipped/vgg16_w4a4.safetensors
WAVES ?= 0
DATA ?= $(CIFAR10_ROOT)

PY := .venv/bin/python
export PYTHON ?= python3
# An edit just after a run must not go unseen: pymodel/support/fresh.py says how it could.
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := layer
.PHONY: layer check accuracy network scaling report vectors replay test lint bench formal mutate synth pnr registers train cost compare evaluate gtkwave clean help setup netlist coverage soak notebook

layer: SIM ?= icarus
layer: setup ## Run a trained layer on the array (DUT, SIM, IMAGES, LAYER, MODEL, WAVES=1)
	@$(PY) -m tb.run layer --sim "$(SIM)" --model "$(MODEL)" --dut "$(DUT)" \
	  $(if $(IMAGES),--images "$(IMAGES)") $(if $(LAYER),--layer "$(LAYER)") \
	  $(if $(filter-out 0,$(WAVES)),--waves) $(ARGS)

check: SIM ?= icarus
check: setup ## Try an array on random tiles, extremes and a reset in the middle (DUT, SIM)
	@$(PY) -m tb.run check --dut "$(DUT)" --sim "$(SIM)" $(ARGS)

# What the sweeps share: simulator, checkpoint, data set, and options (ARGS="--workers 1 --fresh")
SWEEP = --sim "$(SIM)" --model "$(MODEL)" $(if $(DATA),--data "$(DATA)") $(ARGS)

accuracy: SIM ?= verilator
accuracy: setup ## All test images through the squeezed layer in the core (SIM, CIFAR10_ROOT or DATA, ARGS)
	@$(PY) -m tb.run accuracy $(SWEEP)

network: SIM ?= verilator
network: IMAGES ?= 100
network: setup ## Images through all quantised layers in the core (IMAGES, SIM, CIFAR10_ROOT or DATA, ARGS)
	@$(PY) -m tb.run network --images "$(IMAGES)" $(SWEEP)

scaling: SIM ?= verilator
scaling: setup ## How the sweep of make network scales: one worker, two, and an estimate up to 1,000
	@$(PY) -m tb.run scaling --sim "$(SIM)" --model "$(MODEL)" $(ARGS)

report: SIM ?= icarus
report: IMAGES ?= 16
report: IMAGE ?= 0
report: setup ## Write build/report.html: the array cycle by cycle, charts, verification (IMAGES, IMAGE, SIM, LAYER, MODEL, DUT)
	@$(PY) -m tb.report --sim "$(SIM)" --images "$(IMAGES)" --image "$(IMAGE)" --model "$(MODEL)" \
	  --dut "$(DUT)" $(if $(LAYER),--layer "$(LAYER)") $(ARGS)

notebook: setup ## Open docs/squeezed_layer.ipynb in JupyterLab, if that is installed (.venv/bin/pip install jupyterlab)
	@if [ -x .venv/bin/jupyter-lab ]; then .venv/bin/jupyter lab docs/squeezed_layer.ipynb $(ARGS); else \
	  echo "error: .venv/bin/jupyter-lab is not there; install it with: .venv/bin/pip install jupyterlab" >&2; exit 2; fi

vectors: setup ## Write a layer as tile text files (OUT=folder, LAYER, MODEL, ARGS="--image 3 --no-header")
	@$(PY) -m tb.run vectors --out "$(OUT)" $(if $(LAYER),--layer "$(LAYER)") --model "$(MODEL)" $(ARGS)

replay: SIM ?= icarus
replay: setup ## Run a folder of tile text files on the array (DIR=folder, SIM, ARGS="--height 4")
	@$(PY) -m tb.run replay --dir "$(DIR)" --sim "$(SIM)" $(ARGS)

test: setup ## Run all tests and lint, in parallel (SIM for the simulator of the benches)
	@./setup.sh browser
	@$(PY) -m pytest -n auto -q --junitxml build/results/tests.xml

soak: setup ## Two runs at once, kills, full disks, stale builds, dead simulators, damaged files: 10 minutes (ARGS="--only kill")
	@$(PY) -m tb.soak $(ARGS)

lint: setup ## Run the linters alone: ruff, Verilator, Icarus, Yosys
	@$(PY) -m pytest -q tb/sim/tests/test_lint.py

coverage: setup ## Lines, branches, toggles and functional points that the benches reach, on Verilator (ARGS="--only pe")
	@$(PY) -m tb.coverage $(ARGS)

bench: setup ## Cycles of the core on every layer; speed with cocotb and without (MODEL, ARGS="--only cycles")
	@$(PY) -m tb.run bench --model "$(MODEL)" $(ARGS)

formal: setup ## Prove the RTL's properties, and refute the mutants that break them (ARGS="pe output_fifo")
	@$(PY) -m tb.formal $(ARGS)

mutate: N ?= 500
mutate: SEED ?= 1
mutate: setup ## Put faults into the RTL, see that the benches find each (N, SEED=number or random, JOBS)
	@$(PY) -m tb.mutation --number "$(N)" --seed "$(SEED)" $(if $(JOBS),--jobs "$(JOBS)") $(ARGS)

synth: setup ## Synthesise the core for a Lattice ECP5: cells, block RAMs, DSPs
	@$(PY) -m tb.gates synth $(ARGS)

netlist: setup ## Synthesise arrays and core to gates, and run their benches on the gates (ARGS="--only core")
	@$(PY) -m tb.gates netlist $(ARGS)

pnr: setup ## Place and route it with three seeds: the clock it reaches
	@$(PY) -m tb.gates synth --pnr $(ARGS)

registers: setup ## Write what follows from rtl/core.rdl: documentation, C header, Python constants
	@$(PY) -m tb.generate registers $(ARGS)

train: setup ## Train the network (CIFAR10_ROOT or DATA, ARGS="--resume --epochs 30 …")
	@$(PY) -m training.train $(if $(DATA),--data "$(DATA)") $(ARGS)

cost: setup ## What the presets cost on this machine: time of a step in each phase, minutes (ARGS="--steps 20")
	@$(PY) -m training.cost $(ARGS)

compare: setup ## Accuracies and training curves of networks (ARGS="build/a build/b --figure file"; default: those that ship)
	@$(PY) -m training.compare $(ARGS)

evaluate: setup ## Accuracy on the 10,000 test images, squeezed layer in float and in integers
	@$(PY) -m training.evaluate $(if $(DATA),--data "$(DATA)") --model "$(MODEL)" $(ARGS)

gtkwave: setup ## Open the waveform that make WAVES=1 wrote (WAVE=mismatch: that of a failing run)
	@$(PY) -m tb.sim $(WAVE) $(ARGS)

clean: ## Remove all that was built, state of a training included; .venv stays
	@rm -rf build .pytest_cache .ruff_cache
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing; the others call it
	@./setup.sh
