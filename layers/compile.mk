# Included by both layers' Makefiles, each through a link of its own: `sam build` sees one folder at a time. Writes .pyc files, without which a cold start compiles all it imports; Lambda's own
# file system is read-only, so it would do so at every one. They are of use to the very version of Python that runs them,
# so only that one makes them: LAMBDA_PYTHON, a pythonX.Y on the PATH, or one that uv or pyenv has. Where there is none the
# layer goes without, and says so.
LAMBDA_PYTHON_VERSION ?= 3.13
UV ?= uv

ifeq ($(LAMBDA_PLATFORM),native)
LAMBDA_PYTHON ?= $(PYTHON)
else
IS_RIGHT := -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(LAMBDA_PYTHON_VERSION)")'
LAMBDA_PYTHON ?= $(firstword $(foreach each,python$(LAMBDA_PYTHON_VERSION) $(PYTHON) \
  $(shell $(UV) python find --no-python-downloads $(LAMBDA_PYTHON_VERSION) 2>/dev/null) \
  $(wildcard $(HOME)/.pyenv/versions/$(LAMBDA_PYTHON_VERSION).*/bin/python),\
  $(shell $(each) $(IS_RIGHT) >/dev/null 2>&1 && echo $(each))))
endif

# Unchecked: nobody changes a layer. The names of files are those that they will have in Lambda.
define compile
	@if [ -n "$(LAMBDA_PYTHON)" ]; then \
	  "$(LAMBDA_PYTHON)" -m compileall -q -j 0 --invalidation-mode unchecked-hash \
	    -s "$(ARTIFACTS_DIR)" -p /opt "$(ARTIFACTS_DIR)/python"; \
	else \
	  echo "no Python $(LAMBDA_PYTHON_VERSION) here: built without .pyc files, cold starts take longer (docs/performance.md)" >&2; \
	fi
endef
