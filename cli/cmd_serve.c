/* SPDX-License-Identifier: MIT
 *
 * cmd_serve.c - `krait serve`: its command line.
 */
#include <getopt.h>
#include <string.h>
#include "cli.h"
#include "command_line.h"
#include "serve.h"

static const struct command_help help = {
    .name = "serve",
    .text =
        "usage: krait serve [OPTIONS] ADDRESS\n"
        "\n"
        "Serves ADDRESS, shows what clients send, and answers each piece.\n"
        "Ctrl-C (SIGINT) or SIGTERM ends it.\n"
        "\n"
        "  -r, --reply TEXT       the answer (default: server received you\n"
        "                         message.); '' answers nothing\n"
        "  -e, --echo             answer with what came\n"
        "  -m, --mode MODE        threads: one for each client (default);\n"
        "                         serial: one client after another\n"
        "  -t, --timeout SECONDS  end connections that are idle this long;\n"
        "                         also 500ms, 2m (default: never)\n"
        "  -q, --quiet            nothing on stdout\n"
        "  -v, --verbose          say on stderr what happens\n"
        "  -h, --help\n"
        "\n"
        "ADDRESS: host:port, [v6]:port, :port, unix:/path, unix:@abstract,\n"
        "with udp: or seqpacket: before it for those types. Port 0: any free\n"
        "one.\n"
        "\n"
        "Exit status: 0 ended by a signal, 1 another failure, 2 usage, 3 the\n"
        "name doesn't resolve, 6 the address can't be served, 7 stdout\n"
        "failed.\n",
};

int cmd_serve(int argc, char **argv)
{
    static const struct option longs[] = {
        SERVE_LONG_OPTIONS,
        {"timeout", required_argument, NULL, 't'},
        {"quiet", no_argument, NULL, 'q'},
        {NULL, 0, NULL, 0},
    };
    struct serve_options options = serve_defaults();
    int found;
    int status = 0;

    opterr = 0;
    while (status == 0 &&
           (found = getopt_long(argc, argv, ":r:em:t:qvh", longs, NULL)) != -1)
        switch (found) {
        case 't':
            status =
                read_duration(&help, "--timeout", optarg, &options.timeout);
            break;
        case 'q':
            options.quiet = 1;
            break;
        case 'h':
            return print_help(help.text);
        default:
            status = read_serve_option(&help, &options, found, argv);
        }
    if (status == 0)
        status = check_serve_options(&help, &options);
    if (status != 0)
        return status;
    if (optind == argc)
        return usage_error(&help, "an ADDRESS is needed");
    if (optind + 1 < argc)
        return usage_error(&help, "one ADDRESS, not also %s", argv[optind + 1]);
    status = read_address(&help, argv[optind], &options.address);
    return status != 0 ? status : serve(&options);
}
