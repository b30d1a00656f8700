# systolic-cosim: does the array compute what the trained network computes?
#
#   make              run the trained layer on the Verilog array, every psum checked
#   make test         run all benches, tests and linters under pytest
#   make help         list all targets, in groups

DUT ?= tb/components/systolic_array_adapter.py
MODEL ?= training/shipped/vgg16_w4a4.safetensors
WAVES ?= 0
DATA ?= $(CIFAR10_ROOT)

PY := .venv/bin/python
export PYTHON ?= python3
# Without this, an edit just after a run could go unseen; pymodel/support/compiled_files.py says why.
export PYTHONDONTWRITEBYTECODE := 1
# With this, another checkout in PYTHONPATH would come before this one.
unexport PYTHONSAFEPATH

# The options that the sweeps share: simulator, checkpoint, data set, and ARGS="--workers 1 --fresh"
SWEEP = --sim "$(SIM)" --model "$(MODEL)" $(if $(DATA),--data "$(DATA)") $(ARGS)

# What would leave out tests, and say nothing
ALL_TESTS = unset PYTEST_ADDOPTS PYTEST_PLUGINS COCOTB_TEST_FILTER COCOTB_TESTCASE

# The parameters of the array that the user asks for
SIZE = $(if $(ROWS),--rows "$(ROWS)") $(if $(COLS),--cols "$(COLS)") $(if $(ACT_SIGNED),--act-signed "$(ACT_SIGNED)")

# With these options, of the command line or of MAKEFLAGS, make would say that all is well whatever failed.
OPTIONS := $(filter-out --% -I%,$(filter -%,$(MFLAGS)))
ifneq (,$(findstring i,$(OPTIONS))$(findstring t,$(OPTIONS)))
$(error make is told to ignore errors (-i) or to touch files (-t), here or in MAKEFLAGS; expected neither)
endif

ifneq (,$(findstring --eval,$(MAKEFLAGS)))
$(error MAKEFLAGS has --eval, which may tell make to ignore errors; expected none)
endif

ifneq (,$(MAKEFILES))
$(error make reads other files first ($(MAKEFILES), of MAKEFILES), which may tell it to ignore errors; expected none)
endif

# What is left in the environment counts as if it were typed, and says so.
TYPED := DUT MODEL LAYER IMAGES PIXELS ROWS COLS ACT_SIGNED NET STATE INPUT DIR IMAGE MODE DATAFLOW TOP ARGS
LEFT := $(strip $(foreach name,$(TYPED),$(if $(filter environment,$(origin $(name))),$(name)='$($(name))')))
ifneq (,$(LEFT))
$(info note: from the environment: $(LEFT))
endif

.DEFAULT_GOAL := layer

# `make help` prints each line "##@ group", and below it the targets whose lines end in "## what it does".

##@ most used
.PHONY: layer test report

layer: SIM ?= icarus
layer: setup ## Run a trained layer on the array; make alone does the same (DUT, SIM, IMAGES, LAYER, MODEL, ROWS, COLS, ACT_SIGNED, PIXELS, WAVES=1)
	@$(PY) -m tb.run layer --sim "$(SIM)" --model "$(MODEL)" --dut "$(DUT)" \
	  $(if $(IMAGES),--images "$(IMAGES)") $(if $(LAYER),--layer "$(LAYER)") \
	  $(if $(PIXELS),--pixels "$(PIXELS)") $(SIZE) \
	  $(if $(filter-out 0,$(WAVES)),--waves) $(ARGS)

test: setup ## Run all benches, tests and linters (SIM: simulator of the benches)
	@$(ALL_TESTS); begun=$$(date +%s); rm -f build/results/tests.xml; $(PY) -m pytest -n auto --dist worksteal -q --all-must-run -m "not verify" --junitxml build/results/tests.xml; \
	  code=$$?; echo "make test took $$(($$(date +%s) - begun)) seconds"; exit $$code

report: SIM ?= icarus
report: IMAGE ?= 0
report: setup ## Write build/report.html: the array cycle by cycle, charts (IMAGES, IMAGE, SIM, LAYER, MODEL, DUT)
	@$(PY) -m tb.report --sim "$(SIM)" --image "$(IMAGE)" --model "$(MODEL)" $(if $(IMAGES),--images "$(IMAGES)") \
	  --dut "$(DUT)" $(if $(LAYER),--layer "$(LAYER)") $(ARGS)

##@ run
.PHONY: course accuracy network scaling bench

course: SIM ?= icarus
course: setup ## Run a 2-bit and a 4-bit layer in both dataflows on one array, in one simulation (SIM, IMAGES; ARGS=--all, CIFAR10_ROOT or DATA)
	@$(PY) -m tb.course --sim "$(SIM)" $(if $(IMAGES),--images "$(IMAGES)") $(if $(DATA),--data "$(DATA)") $(ARGS)

accuracy: SIM ?= verilator
accuracy: setup ## Run all test images through the squeezed layer on the core (SIM, CIFAR10_ROOT or DATA, ARGS)
	@$(PY) -m tb.run accuracy $(SWEEP)

network: SIM ?= verilator
network: setup ## Run images through all quantised layers on the core, of your network too (IMAGES, SIM, CIFAR10_ROOT or DATA, NET, STATE, INPUT, ARGS)
	@$(PY) -m tb.run network $(if $(IMAGES),--images "$(IMAGES)") $(if $(NET),--net '$(subst ','\'',$(NET))') \
	  $(if $(STATE),--state "$(STATE)") $(if $(INPUT),--input "$(INPUT)") $(SWEEP)

scaling: SIM ?= verilator
scaling: setup ## Measure how the sweep of make network scales, and estimate it up to 1,000 workers
	@$(PY) -m tb.run scaling --sim "$(SIM)" --model "$(MODEL)" $(ARGS)

bench: setup ## Measure the core's cycles on every layer, and its speed in the simulators (MODEL, ARGS="--only cycles")
	@$(PY) -m tb.run bench --model "$(MODEL)" $(ARGS)

##@ look
.PHONY: gtkwave waves notebook

gtkwave: setup ## Open the waveform that make WAVES=1 wrote (WAVE=mismatch: the waveform of a failing run)
	@$(PY) -m tb.sim $(WAVE) --viewer gtkwave $(ARGS)

waves: setup ## Open the same waveform in Surfer if that is installed, else in GTKWave (WAVE, WAVEFORM_VIEWER)
	@$(PY) -m tb.sim $(WAVE) $(if $(WAVEFORM_VIEWER),--viewer "$(WAVEFORM_VIEWER)") $(ARGS)

notebook: setup ## Open docs/squeezed_layer.ipynb in JupyterLab, which ./setup.sh notebook installs
	@if [ -x .venv/bin/jupyter-lab ]; then .venv/bin/jupyter lab docs/squeezed_layer.ipynb $(ARGS); else \
	  echo "error: .venv/bin/jupyter-lab is missing; install it with: ./setup.sh notebook" >&2; exit 2; fi

##@ own network and array
.PHONY: export check vectors replay

export: setup ## Print which layers of your network fit, and with OUT write them to a file (NET=package.module:factory, file.onnx or file.pt2, STATE, OUT, LAYER, INPUT, IMAGES)
	@$(PY) -m pymodel.own_network '$(subst ','\'',$(NET))' --state "$(STATE)" \
	  $(if $(INPUT),--input "$(INPUT)") $(if $(IMAGES),--images "$(IMAGES)") \
	  $(if $(LAYER),--layer "$(LAYER)") $(if $(OUT),--output "$(OUT)") $(ARGS)

check: SIM ?= icarus
check: setup ## Try an array on random tiles, extreme values and resets at any cycle (DUT, SIM, ROWS, COLS, ACT_SIGNED)
	@$(PY) -m tb.run check --dut "$(DUT)" --sim "$(SIM)" $(SIZE) $(ARGS)

vectors: setup ## Write a layer as tile text files (OUT=folder, LAYER, MODEL, ARGS="--image 3 --weights rows")
	@$(PY) -m tb.run vectors --out "$(OUT)" $(if $(LAYER),--layer "$(LAYER)") --model "$(MODEL)" $(ARGS)

replay: SIM ?= icarus
replay: setup ## Run a folder of tile text files on an array (DIR=folder, DUT, SIM, ARGS="--weights rows")
	@$(PY) -m tb.run replay --dir "$(DIR)" --dut "$(DUT)" --sim "$(SIM)" $(ARGS)

##@ trust
.PHONY: verify lint mutate mutate-python formal coverage netlist soak

verify: setup ## Run all long checks, one after another; results kept from earlier runs are used (ARGS="--only mutation")
	@./setup.sh browser
	@$(PY) -m tb.verify $(ARGS)

lint: setup ## Run only the linters: ruff, Verilator, Icarus, Yosys
	@$(ALL_TESTS); $(PY) -m pytest -q tb/sim/tests/test_lint.py

mutate: N ?= 500
mutate: SEED ?= 1
mutate: setup ## Put faults into the RTL, and check that the benches find each (N, SEED=number or random, JOBS)
	@$(PY) -m tb.mutation --number "$(N)" --seed "$(SEED)" $(if $(JOBS),--jobs "$(JOBS)") $(ARGS)

mutate-python: setup ## Put faults into the Python that judges, and check that the tests find each (N, SEED, JOBS)
	@$(PY) -m tb.python_mutation $(if $(N),--number "$(N)") --seed "$(or $(SEED),1)" $(if $(JOBS),--jobs "$(JOBS)") $(ARGS)

formal: setup ## Prove the RTL's properties, and refute the mutants that break them (ARGS="pe output_fifo")
	@$(PY) -m tb.formal $(ARGS)

coverage: setup ## Measure the lines, branches, toggles and functional points that the benches reach (ARGS="--only pe")
	@$(PY) -m tb.coverage $(ARGS)

netlist: setup ## Synthesise arrays and core to gates, and run their benches on the gates (ARGS="--only core")
	@$(PY) -m tb.gates netlist $(ARGS)

soak: setup ## Damage runs, disks, builds, simulators and files, and check what remains; takes 10 minutes (ARGS="--only kill")
	@$(PY) -m tb.soak $(ARGS)

##@ hardware
.PHONY: synth pnr activity

synth: setup ## Synthesise the core for a Lattice ECP5, and count cells, block RAMs and DSPs (TOP: arrays, side by side)
	@$(PY) -m tb.gates synth $(if $(TOP),--top $(TOP)) $(ARGS)

pnr: setup ## Place and route the core with three seeds, and print the clock that it reaches (TOP)
	@$(PY) -m tb.gates synth --pnr $(if $(TOP),--top $(TOP)) $(ARGS)

activity: setup ## Count how often the arrays' nets toggle, with and without gating at zeros (ARGS="--share 0.5 --images 4")
	@$(PY) -m tb.gates activity $(ARGS)

##@ training
.PHONY: train evaluate compare cost

train: setup ## Train the network (CIFAR10_ROOT or DATA, ARGS="--resume --epochs 30 …")
	@$(PY) -m training.train $(if $(DATA),--data "$(DATA)") $(ARGS)

evaluate: setup ## Measure the accuracy, with the squeezed layer in float and on integers (CIFAR10_ROOT or DATA, MODEL)
	@$(PY) -m training.evaluate $(if $(DATA),--data "$(DATA)") --model "$(MODEL)" $(ARGS)

compare: setup ## Compare networks: accuracies, training curves (ARGS="build/a build/b --figure file"; default: the shipped)
	@$(PY) -m training.compare $(ARGS)

cost: setup ## Measure what the presets cost on this machine: time of a step in each phase, minutes (ARGS="--steps 20")
	@$(PY) -m training.cost $(ARGS)

##@ maintain
.PHONY: generate registers setup clean help

# The files that need nothing but this checkout come first, so that a missing result leaves only the table unwritten.
generate: setup registers ## Write all generated files (the verification table last, because it needs make verify)
	@$(PY) -m training.ship_logits
	@$(PY) -m training.compare --figure docs/networks.svg
	@$(PY) -m tb.generate guide
	@$(PY) -m tb.generate notebook
	@$(PY) -m tb.generate verification

registers: setup ## Write what is generated from rtl/core.rdl: documentation, C and Verilog headers, Python constants
	@$(PY) -m tb.generate registers $(ARGS)

setup: ## Install what is missing; all other targets but clean and help call it
	@./setup.sh

clean: ## Remove everything that was built, the state of a training included; .venv stays
	@rm -rf build .pytest_cache .ruff_cache
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## List the targets
	@awk -F ':.*## ' '/^##@ / { printf "%s%s\n", sep, substr($$0, 5); sep = "\n" } \
	  /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
