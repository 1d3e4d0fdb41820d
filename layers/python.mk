# The Makefiles of the checkout and of both layers include this, and all of them run at the top of the checkout.

# A user may have told pip to install into the user's folder, or only inside a virtual environment, by a variable or in
# pip.conf. Both stop an installation into a folder of its own. `--isolated` would ignore the index and proxy as well.
export PIP_USER := 0
export PIP_REQUIRE_VIRTUALENV := 0

# Without .pyc files a cold start compiles every module that it imports. Lambda's file system is read-only, so each cold
# start would do it again. Only the same version of Python can use them, so only that version makes them: LAMBDA_PYTHON,
# a pythonX.Y on the PATH, or one that uv or pyenv has. If there is none, the layer goes without, and the build says so.
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

# Unchecked: nobody changes a layer after it is built. -p gives each file the name that it has in Lambda.
define compile
	@if [ -n "$(LAMBDA_PYTHON)" ]; then \
	  "$(LAMBDA_PYTHON)" -m compileall -q -j 0 --invalidation-mode unchecked-hash \
	    -s "$(ARTIFACTS_DIR)" -p /opt "$(ARTIFACTS_DIR)/python"; \
	else \
	  echo "no Python $(LAMBDA_PYTHON_VERSION) here: built without .pyc files, cold starts take longer (docs/performance.md)" >&2; \
	fi
endef
