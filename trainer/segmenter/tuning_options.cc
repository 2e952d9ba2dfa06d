// The command line of a segmenter's training.
#include "trainer/run/data_flags.h"
#include "trainer/segmenter/tuning_run.h"

namespace trainer {

void AddFlags(TuningRunOptions* options, serving::FlagTable* flags) {
  AddDataFlags(&options->data,
               "Of which classes objects are learned; empty: all. The segmenter itself knows none.",
               flags);
  flags->Required("from", &options->from, "The checkpoint that is tuned: SAM, MobileSAM or SAM 2.");
  flags->Required("out", &options->out,
                  "The folder for best.pth, last.pth, report.md and what is needed to go on after "
                  "an interruption; made if it is missing.");
  flags->Add("report_of", &options->report_of,
             "Which model report.md describes: best, best.pth; last, last.pth.",
             serving::OneOf({"best", "last"}));
  flags->Add("epochs", &options->epochs, "Passes over the training images.",
             serving::InRange(1, 100000));
  flags->Add("batch", &options->batch, "Images a step.", serving::InRange(1, 1024));
  flags->Add("lr", &options->learning_rate, "The learning rate after the warm-up of 30 steps.",
             [](const double& rate) -> std::string {
               return rate > 0 && rate <= 1 ? "" : "must be above 0 and at most 1";
             });
  flags->Add("corrections", &options->corrections,
             "Clicks on an object after the first answer, each where the answer before is wrong. "
             "Segment Anything was trained with 8; a step takes as much longer.",
             serving::InRange(1, 100));
  flags->Add("patience", &options->patience,
             "The training ends after so many evaluations without a better IoU; 0: never.",
             serving::InRange(0, 100000));
  flags->Add("save_minutes", &options->save_minutes,
             "The state is saved after each evaluation, and after so many minutes at the latest.",
             serving::InRange(1, 10000));
  flags->Add("threads", &options->threads, "Compute threads; 0: as many as the process has CPUs.",
             serving::InRange(0, 1024));
  flags->Add("seed", &options->seed, "Everything that is random follows from this number.");
  flags->Add("resume", &options->resume,
             "Go on with the training in --out if it is the same; --noresume: begin anew, which "
             "removes it.");
  flags->Add("json", &options->json, "One JSON object a line on stdout, as in --out's log.jsonl.");
}

}  // namespace trainer
