/* Memory that runs out inside of lunette's functions while those of the test have enough. */
#ifndef SCENARIO_SHORT_MEMORY_H
#define SCENARIO_SHORT_MEMORY_H

#include <stdbool.h>

/* From here on, after so many allocations one fails; all later ones too if `and_after`. */
void run_out_at(long allocation, bool and_after);
/* There is memory again. Returns whether some was refused. */
bool enough_again(void);
/* Whether some was refused since run_out_at(). */
bool memory_ran_out(void);

#endif
