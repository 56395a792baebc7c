# make run P="pipelines/NAME [MORE.yaml]..." [SET="name=value ..."] [SUBMIT="srun ..."] [N=1]; make dag P=... prints Graphviz.
# `coador pipeline rules` says what needs what; make decides order and -j; `coador pipeline stage` decides whether there is
# work. N=1, or -n, only says what would run and why.
PIPELINE_ARGS = $(P) $(foreach s,$(SET),--set '$(s)')
PIPELINE_DRY  = $(or $(N),$(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS)))))
PIPELINE_HAS  = test -n '$(P)' || { echo 'make $@: which pipeline? P=pipelines/NAME' >&2; exit 2; }

run: all
	@+$(PIPELINE_HAS); coador="$(abspath $(BUILD))/bin/coador"; $(if $(PIPELINE_DRY), \
	"$$coador" pipeline status $(PIPELINE_ARGS) || test $$? -eq 1, \
	rules=$$("$$coador" pipeline rules $(PIPELINE_ARGS)) && printf '%s\n' "$$rules" | $(MAKE) --no-print-directory -f -)
dag: all
	@$(PIPELINE_HAS); "$(abspath $(BUILD))/bin/coador" pipeline --dot $(PIPELINE_ARGS)
.PHONY: run dag
