# `make demo`, `make test`, and `make results` for docs/evidence/results.md. Everything is installed into $(VENV), once.

PYTHON ?= python3
VENV ?= .venv
ORACLES ?= $(VENV)-oracles
VALIDATOR = gltf-validator@2.0.0-dev.3.10
TORCH = $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check

.PHONY: demo check test coverage results results-part results-fig6 results-report oracles lint typecheck
.PHONY: faults fuzz ray verify-gpu verify-kernels verify-real check-bounds bench docs docker clean

demo: $(VENV)/run.stamp
	$(VENV)/bin/xbind generate --text "a red mug" --out out/demo --overwrite

# Every table and picture of docs/evidence/results.md, and results.json beside it: hours. Killed and called
# again it goes on. Several calls share the work: `make results-part PART=1/2` beside `make results-part
# PART=2/2`, each on a core of its own, and `make results` after them: it makes what is left, and the
# tables. `make results WORKERS=2` makes two objects at a time.
RESULTS ?= out/results
EVAL = $(VENV)/bin/xbind eval
RUN = $(EVAL) run $(if $(PART),--part $(PART)) $(if $(WORKERS),--workers $(WORKERS))
REPORT = $(EVAL) report --results docs/evidence/results.json --document docs/evidence/results.md
# Lists, and methods with their seeds.
TEXTS = test_texts
HALF = test_half
OTHERS = test_other
SYSTEMS = dreamfusion magic3d fantasia3d prolificdreamer
SEEDS = 0 1 2
BASELINES = zerostablecds-3d stablesds-3d zerosds-3d
BASELINE_SEEDS = 0 1
ABLATIONS = stereo planar three-phase ms
# Methods are compared with the 3D prior that knows 10 of the 17 categories.
PRIOR = --prior-3d narrow
# The iterations with which a system takes as long as xbind.
LONGER = --config bench/equal_seconds/$1.toml
# The stages of each system, whose 2D prior may be given view words.
STAGES_dreamfusion = coarse
STAGES_magic3d = coarse geometry
STAGES_fantasia3d = geometry texture
STAGES_prolificdreamer = coarse geometry texture
NO_WORDS = $(foreach stage,$(STAGES_$1),--method.$(stage).guidance.no-view-words)

empty :=
space := $(empty) $(empty)
comma := ,
define newline


endef
# A line of a recipe: $(call made,list,preset,seed,name,options) fills the folder name-seed.
made = $(RUN) --prompts $1 --preset $2 --seed $3 --out $(RESULTS)/$4-$3 $5$(newline)
# A row of a table: $(call row,name,seeds,more folders) is one method.
row = $1=$(subst $(space),$(comma),$(strip $(patsubst %,$(RESULTS)/$1-%,$2) $(addprefix $(RESULTS)/,$3)))

results: results-part results-fig6 results-report

results-part: export OMP_NUM_THREADS ?= 1
results-part: $(VENV)/run.stamp
	$(foreach s,$(SEEDS),$(call made,$(TEXTS),xbind,$s,xbind,$(PRIOR)))
	$(call made,$(OTHERS),xbind,0,xbind-other,$(PRIOR))
	$(foreach s,$(SEEDS),$(foreach m,$(SYSTEMS),$(call made,$(TEXTS),$m,$s,$m)))
	$(foreach m,$(SYSTEMS),$(call made,$(HALF),$m,0,$m-seconds,$(call LONGER,$m)))
	$(foreach m,$(SYSTEMS),$(call made,$(HALF),$m,0,$m-no-words,$(call NO_WORDS,$m)))
	$(foreach s,$(BASELINE_SEEDS),$(foreach m,$(BASELINES),$(call made,$(TEXTS),$m,$s,$m,$(PRIOR))))
	$(foreach m,$(BASELINES),$(call made,$(OTHERS),$m,0,$m-other,$(PRIOR)))
	$(foreach part,$(ABLATIONS),$(call made,fig7,xbind,0,without-$(part),--without $(part) $(PRIOR)))
	$(RUN) --prompts tuning --out $(RESULTS)/tuning
	$(RUN) --prompts tuning_other --out $(RESULTS)/tuning-other

# Needs the objects of all parts, so it is not shared.
results-fig6: export OMP_NUM_THREADS ?= 1
results-fig6: results-part
	$(call made,$(TEXTS),xbind,0,phase2-sds,$(PRIOR) --phase2-loss sds --from-phase1 $(RESULTS)/xbind-0)
	$(call made,$(OTHERS),xbind,0,phase2-sds-other,$(PRIOR) --phase2-loss sds --from-phase1 $(RESULTS)/xbind-other-0)

# `make report-table-2` writes one section.
SECTIONS = table-1 table-2 table-2-seconds table-2-words fig-6 fig-7 tuning tuning-other
results-report: $(SECTIONS:%=report-%)

ALL_KINDS = $(call row,xbind,0,xbind-other-0)
REPORT_table-1 = --paper table-1 --sheet docs/img/results_fig4.png \
  $(call row,xbind,$(SEEDS),xbind-other-0) \
  $(foreach m,$(BASELINES),$(call row,$m,$(BASELINE_SEEDS),$m-other-0))
REPORT_table-2 = --paper table-2 --sheet docs/img/results_fig5.jpg --rows 16 \
  $(call row,xbind,$(SEEDS)) $(foreach m,$(SYSTEMS),$(call row,$m,$(SEEDS)))
REPORT_table-2-seconds = $(call row,xbind,0) $(foreach m,$(SYSTEMS),\
  $(call row,$m,0) "$m$(comma) as long as xbind=$(RESULTS)/$m-seconds-0")
REPORT_table-2-words = $(call row,xbind,0) $(foreach m,$(SYSTEMS),\
  $(call row,$m,0) "$m$(comma) no view words=$(RESULTS)/$m-no-words-0")
REPORT_fig-6 = --sheet docs/img/results_fig6.png --normals --rows 8 $(ALL_KINDS) \
  "SDS in Phase II=$(RESULTS)/phase2-sds-0,$(RESULTS)/phase2-sds-other-0"
REPORT_fig-7 = --sheet docs/img/results_fig7.png --rows 8 $(ALL_KINDS) \
  $(foreach part,$(ABLATIONS),"without $(part)=$(RESULTS)/without-$(part)-0")
REPORT_tuning = xbind=$(RESULTS)/tuning
REPORT_tuning-other = xbind=$(RESULTS)/tuning-other

report-%: $(VENV)/run.stamp
	$(REPORT) --section $* $(REPORT_$*)

# One OpenMP thread: small tensors lose more by waiting for a second thread than it gives them.
test: export OMP_NUM_THREADS ?= 1
test: export NUMBA_NUM_THREADS ?= 2
# One file stays in one process: its tests share runs and engines. Slow files come first (conftest.py).
PARALLEL ?= -n 2 --dist loadfile --no-loadscope-reorder
# The `pytest` command, not `python -m pytest`: the latter puts this folder on sys.path.
# Triton's interpreter has to be chosen before triton is imported: a process of its own.
test: $(VENV)/dev.stamp
	$(VENV)/bin/pytest $(PARALLEL) $(COVERED)
	TRITON_INTERPRET=1 $(VENV)/bin/pytest $(PARALLEL) tests/kernels/gpu $(if $(COVERED),$(COVERED) --cov-append)

# The fast lane, for every change, in 90 s: rules, format, spelling, types, and the tests of QUICK.
QUICK = $(addprefix tests/,test_architecture.py test_advice.py test_release.py config engine losses \
  cli/test_main.py diffusion/test_schedule.py export/test_lowerings.py kernels/test_composite.py \
  kernels/test_march.py run/test_folder.py run/test_resuming.py scene)

check: export OMP_NUM_THREADS ?= 1
check: lint typecheck
	$(VENV)/bin/pytest -q $(PARALLEL) $(QUICK)

# `make test`, and how much of the package it ran; compiled kernels do not count as run.
# sys.monitoring costs least, where Python has it (3.12).
coverage: export COVERAGE_FILE = $(abspath $(VENV))/coverage
coverage: export COVERAGE_CORE = $(shell $(PYTHON) -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")')
coverage: COVERED = --cov --cov-report=
coverage: test
	@echo "coverage: $$($(VENV)/bin/coverage report --format=total) % of the lines of the package"

# Hundreds of kills, damaged files, malformed inputs and odd machines; writes docs/evidence/reliability.md.
# Hours; called again it goes on. `make faults FAULTS="--scale 0.05"` tries a twentieth.
FAULTS ?= --scale 1
faults: export OMP_NUM_THREADS ?= 1
faults: $(VENV)/dev.stamp
	$(VENV)/bin/python -P tests/faults/run.py $(FAULTS) --document docs/evidence/reliability.md

# Tests against other people's implementations, in an environment of their own (6.5 GB).
oracles: export OMP_NUM_THREADS ?= 1
oracles: $(ORACLES)/run.stamp
	$(ORACLES)/bin/pytest tests/oracles

# The site, in out/docs/index.html. Warnings are errors, the notebook is executed, and a page that loads
# anything from another host is refused.
docs: export OMP_NUM_THREADS ?= 1
docs: $(VENV)/docs.stamp
	rm -rf out/docs
	$(VENV)/bin/python -P -m sphinx -b html -W --keep-going -d out/docs-state -E docs out/docs
	$(VENV)/bin/pytest -q tests/docs

# The image xbind:cpu; `make docker STAGE=cuda` for xbind:cuda. TORCH_INDEX names a package index with builds
# of torch for that stage; by default they come from where pip finds packages, for Linux with CUDA.
STAGE ?= cpu
docker:
	docker build --target $(STAGE) --build-arg TORCH_INDEX=$(TORCH_INDEX) --tag xbind:$(STAGE) .

# Batches on a real Ray cluster of several nodes, whose processes are killed (Ray: 240 MB in $(VENV)).
ray: export OMP_NUM_THREADS ?= 1
ray: $(VENV)/dev.stamp
	$(PIP) install --quiet -c constraints.txt -e '.[ray]'
	$(VENV)/bin/pytest tests/batch/test_ray.py

lint: $(VENV)/dev.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/typos

# mypy wants the folders where a plain install puts them: a folder of links looks like one. Its cache
# stays, so that a second call takes seconds.
typecheck: $(VENV)/dev.stamp
	rm -rf $(VENV)/typecheck
	mkdir -p $(VENV)/typecheck/xbind
	ln -s $(CURDIR)/xbind/* $(addprefix $(CURDIR)/,engine kernels export bench) $(VENV)/typecheck/xbind
	cd $(VENV)/typecheck && ../bin/mypy --cache-dir ../mypy_cache --config-file $(CURDIR)/pyproject.toml -p xbind

# Coverage-guided fuzzing of every loader of files from outside, from the kept corpus; two minutes.
# Where atheris has no wheel for this Python, files are changed at random, and the output says so.
fuzz: export OMP_NUM_THREADS ?= 1
fuzz: $(VENV)/dev.stamp
	$(PIP) install --quiet --only-binary atheris -c constraints.txt -e '.[fuzz]' || \
	  echo "atheris cannot be installed for this Python"
	$(VENV)/bin/python -P tests/faults/fuzz/run.py --faults out/fuzz

# What only a CUDA device can show: kernels, guidance steps, CUDA graphs, whole runs. Needs torch for
# CUDA and Triton in $(VENV).
verify-gpu: $(VENV)/dev.stamp
	$(VENV)/bin/python -P -c "import torch; assert torch.cuda.is_available(), 'no CUDA device'"
	$(VENV)/bin/pytest -q tests/gpu tests/kernels/gpu

# Machine code of every Triton kernel for every GPU generation; a GPU is not needed.
verify-kernels: $(VENV)/dev.stamp
	$(VENV)/bin/python -P bench/kernel_resources.py

# Every figure of docs/evidence/benchmarks.md, on a machine that does nothing else; about 15 minutes.
bench: $(VENV)/dev.stamp
	mkdir -p out/bench
	rm -f out/bench/records.jsonl
	$(VENV)/bin/xbind-bench --threads 2 --whole --json out/bench/records.jsonl --plot docs/img/phases.svg
	$(VENV)/bin/xbind-bench --threads 2 --curves --json out/bench/records.jsonl --plot docs/img/curves.svg
	$(VENV)/bin/python -P bench/write_tables.py out/bench/records.jsonl docs/evidence/benchmarks.md

# Graphs of the public networks' size with random weights: engines for GPUs, and two of them against
# torch. Hours, 12 GiB of memory, 10 GB of disk; what is in the file is not done again.
verify-real: export OMP_NUM_THREADS ?= 1
verify-real: $(VENV)/dev.stamp
	$(VENV)/bin/xbind-build-engines --measure verify-real.jsonl --preset paper --all \
	  --precision float16 --target sm86,sm89
	$(VENV)/bin/xbind-build-engines --measure verify-real.jsonl --preset paper \
	  --only clip_image,sds3d --engine onnxruntime --compare

# The CPU's kernels with every index checked. What is compiled so is kept apart from the rest.
check-bounds: export NUMBA_BOUNDSCHECK = 1
check-bounds: export NUMBA_CACHE_DIR = $(abspath $(VENV))/bounds-cache
check-bounds: export OMP_NUM_THREADS ?= 1
check-bounds: $(VENV)/dev.stamp
	$(VENV)/bin/pytest tests/kernels --ignore tests/kernels/gpu -k "numba or bounds or threads"

$(VENV)/run.stamp: constraints.txt setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "xbind needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt $(TORCH)
	$(PIP) install -c constraints.txt -e .
	touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	$(PIP) install -c constraints.txt -e '.[dev]'
	command -v npm >/dev/null && npm install --silent --no-save --prefix $(VENV)/node $(VALIDATOR) \
	  || echo 'no npm: tests of GLB files with the Khronos validator are skipped'
	touch $@

$(VENV)/docs.stamp: $(VENV)/dev.stamp constraints-docs.txt
	$(PIP) install -c constraints.txt -c constraints-docs.txt -e '.[docs]'
	touch $@

$(ORACLES)/run.stamp: constraints.txt constraints-oracles.txt setup.py
	test -x $(ORACLES)/bin/python || $(PYTHON) -m venv $(ORACLES)
	sed -E '/^(torch|triton|setuptools)==/d' constraints.txt > $(ORACLES)/constraints.txt
	$(ORACLES)/bin/python -m pip --disable-pip-version-check install \
	  -c $(ORACLES)/constraints.txt -c constraints-oracles.txt \
	  -e . pytest beartype setuptools einops imagebind-unofficial open_clip_torch
	touch $@

clean:
	rm -rf $(VENV) $(ORACLES) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
