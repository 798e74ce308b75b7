/* How far a long command is: one line on stderr that is written over, when stderr is a terminal. */
#include "internal.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH       40U
#define INTERVAL_MS     100U
#define CLEAR_LINE      "\r\033[K"
#define PROMILLE        1000U
#define LINE_SIZE       160U
#define NOT_SHOWN_PHASE UINT32_MAX

void cli_progress_init(struct cli_progress *progress, bool wanted)
{
    *progress = (struct cli_progress){.is_on = wanted && isatty(STDERR_FILENO), .shown_phase = NOT_SHOWN_PHASE};
}

/* At most ten times a second, and once for each phase. */
static bool is_due(struct cli_progress *progress, uint32_t phase)
{
    uint64_t now_ms = base_clock_monotonic_ms();

    if (phase == progress->shown_phase && now_ms < progress->shown_ms + INTERVAL_MS) {
        return false;
    }
    progress->shown_phase = phase;
    progress->shown_ms = now_ms;
    return true;
}

void cli_progress_show(struct cli_progress *progress, uint32_t phase, uint32_t phase_count, const char *name,
                       uint64_t done, uint64_t total)
{
    char bar[BAR_WIDTH + 1];
    char line[LINE_SIZE];

    if (!progress->is_on || !is_due(progress, phase)) {
        return;
    }
    uint64_t promille = total > 0 ? (uint64_t)((double)done * PROMILLE / (double)total) : PROMILLE;
    promille = promille < PROMILLE ? promille : PROMILLE;
    size_t filled = (size_t)(promille * BAR_WIDTH / PROMILLE);
    memset(bar, '=', filled);
    memset(bar + filled, ' ', BAR_WIDTH - filled);
    bar[BAR_WIDTH] = '\0';
    (void)snprintf(line, sizeof line, CLEAR_LINE "%u/%u %-9s |%s| %3llu.%llu%%", phase + 1, phase_count, name, bar,
                   (unsigned long long)(promille / 10), (unsigned long long)(promille % 10));
    (void)fputs(line, stderr);
    (void)fflush(stderr);
    progress->is_visible = true;
}

void cli_progress_clear(struct cli_progress *progress)
{
    if (progress->is_visible) {
        (void)fputs(CLEAR_LINE, stderr);
        (void)fflush(stderr);
        progress->is_visible = false;
        progress->shown_phase = NOT_SHOWN_PHASE;
    }
}
