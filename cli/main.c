/* SPDX-License-Identifier: MIT
 *
 * main.c - the program `krait`: finds the command, and sees to what all of
 * them need (three open standard files, no SIGPIPE, a UTF-8 locale).
 */
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cli.h"
#include "command_line.h"

static const struct command_help help = {
    .name = NULL,
    .text =
        "usage: krait serve   [OPTIONS] ADDRESS    serve, and show what comes\n"
        "       krait connect [OPTIONS] ADDRESS    talk to a server\n"
        "       krait demo    [OPTIONS] [ADDRESS]  both, in one terminal\n"
        "       krait --help | --version\n"
        "       krait COMMAND --help\n"
        "\n"
        "ADDRESS:\n"
        "  127.0.0.1:8001  [::1]:8001  example.org:80\n"
        "  :8001                any address of this host\n"
        "  unix:/run/x          a Unix path\n"
        "  unix:@name           an abstract Unix name\n"
        "  udp:127.0.0.1:8001   datagrams; also udp:unix:/run/x\n"
        "  seqpacket:unix:/run/x  records\n"
        "\n"
        "Exit status: 0 all went well, 1 a failure that is none of these,\n"
        "2 a mistake in the command line, 3 a name that doesn't resolve,\n"
        "4 timed out, 5 refused or out of reach, 6 the address can't be\n"
        "served (taken, denied, not ours), 7 stdin or stdout failed, 130\n"
        "Ctrl-C.\n"
        "krait(1) says the rest.\n",
};

/* A socket must never become fd 0, 1 or 2 of a program that was started
 * without them. Opened the wrong way round, so that using one fails (EBADF)
 * instead of losing data quietly. */
static void fill_standard_files(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
        if (fd >= 0 && fd <= STDERR_FILENO) {
            close(fd);
            fd = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        }
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/* Characters are UTF-8 here, whatever the environment says: an environment
 * without a locale (cron, containers, LANG=C) is no reason to break Chinese. */
static void use_utf8(void)
{
    if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
}

static int print_version(void)
{
    char text[64];

    snprintf(text, sizeof text, "krait %s\n", krait_version());
    return print_help(text);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {
        {"serve", cmd_serve},
        {"connect", cmd_connect},
        {"demo", cmd_demo},
    };
    const char *name = argc > 1 ? argv[1] : "";

    fill_standard_files();
    signal(SIGPIPE, SIG_IGN);
    use_utf8();

    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return print_help(help.text);
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        return print_version();
    if (argc < 2)
        return usage_error(&help, "a command is needed: serve, connect, demo");
    if (name[0] == '-')
        return usage_error(&help, "%s: no such option", name);
    return usage_error(&help, "%s: no such command: serve, connect, demo",
                       name);
}
