"""Names arguments, functions and texts that say nothing of how something was built or trained."""

from __future__ import annotations

import re
from typing import Final

from ..values.secret_names import WORDS, each

NEVER: Final = each("""
    verbose verbosity silent quiet debug disp progress progress_bar show_progress pbar tqdm disable desc
    n_jobs n_threads num_threads nthread nthreads thread_count threads n_workers num_workers workers jobs pre_dispatch
    pin_memory persistent_workers prefetch_factor multiprocessing_context use_multiprocessing max_queue_size
    figsize fig_size dpi ax axes axis title suptitle xlabel ylabel zlabel legend cmap palette marker markersize
    linestyle linewidth fontsize facecolor edgecolor hue style xlim ylim grid subplots
    name names id key run_name experiment_name project_name study_name file_name column_name feature_name
    feature_names target_name target_names class_names description notes tags author user username
    x y z df data target targets feature features categorical_features categorical_feature cat_features
    numeric_features numerical_features index index_col on by sep delimiter encoding header usecols
    input input_size input_dim input_shape in_features in_channels n_inputs n_classes num_classes n_class num_class
    num_labels n_labels classes labels label pos_label y_true y_pred
    text texts prompt prompts question questions query message messages content document documents sentence sentences
    instructions system
    digits decimals ndigits digitos decimais casas casas_decimais
    inplace copy copy_x copy_x_train as_frame return_x_y return_train_score return_estimator return_indices error_score
    output_dict cache_size memory plot show save display log logger logging callback callbacks report_to logging_steps
    logging_dir logging_strategy log_every_n_steps log_level save_steps save_strategy save_total_limit save_freq
    enable_progress_bar enable_model_summary enable_checkpointing default_root_dir overwrite_output_dir push_to_hub
    hub_model_id load_best_model_at_end checkpoint storage load_if_exists trust_remote_code cache_dir local_files_only
    base_url api_base api_version organization endpoint host port url uri timeout max_retries stream metadata
    metrics eval_names evals catch gc_after_trial show_progress_bar
    verboso silencioso nome nomes titulo rotulo rotulos legenda dados alvo alvos atributo atributos texto textos
    pergunta perguntas mensagem mensagens entrada entradas classe mostrar exibir salvar gravar plotar descricao
    tamanho_figura
""")
"""Parameters, in small letters, whose arguments are no settings."""

_LAST: Final = each("""
    path paths file files filename filenames filepath folder folders dir directory dirname output outfile savefile
    column columns col cols color colors colour colours title titles label labels names figsize xlabel ylabel verbose
    fig figure plot url uri csv json png
    caminho caminhos arquivo arquivos ficheiro pasta pastas diretorio saida coluna colunas cor cores titulo rotulo
    figura grafico
""")
"""Last words of parameters whose arguments are no settings."""

_MODELS: Final = each("pretrained_model_name_or_path model_name_or_path model_path config_name tokenizer_name")
"""Parameters that name a model, whatever they are called."""

_MEANINGLESS: Final = each("""
    a b c d e f g h i j l m o q r s t u v w x y z x1 x2 y1 y2 xs ys arr array value values val vals item items obj
    row rows line lines num number numbers word words string other self cls arg args valor valores numero numeros
    linha linhas palavra palavras lista vetor
""")
"""Parameters of a notebook's own functions that say no more than that there is one."""

_SHAPES: Final = each("""
    hidden layer layers size sizes unit units dim dims dimensions channel channels filter filters kernel kernels beta
    betas lag lags window windows range grid rates thresholds milestones quantiles degrees
    camada camadas tamanhos neuronios janelas limiares graus
""")
"""Words of parameters whose lists are settings rather than data."""

_SHOWING: Final = each("""
    plot draw show print display visualize visualise render animate view heatmap hist scatter imshow savefig
    save load read write dump export open download upload fetch store persist to send notify describe summarize
    summarise summary format pretty report info head assert check help
    plotar desenhar mostrar exibir imprimir visualizar renderizar salvar gravar guardar carregar ler abrir escrever
    exportar baixar enviar descrever resumir resumo formatar relatorio registrar
    plota desenha mostra exibe imprime visualiza salva grava guarda carrega escreve exporta baixa envia descreve resume
""")
"""First words of functions that show, read or keep something."""

_DRAWING: Final = each("""
    plot draw hist scatter imshow heatmap bar barh line boxplot visualize visualise render animate
    plotar desenhar visualizar plota desenha visualiza
""")
"""First words of functions whose arguments are drawn."""

_SHOWN: Final = each("""
    plot plots figure fig chart charts heatmap graph csv json png pdf html excel parquet pickle
    grafico graficos figura
""")
"""Last words of such functions."""

_LOGARITHMS: Final = each("reg regression regressao loss likelihood odds normal prob cosh")
"""Words after which ``log`` is a logarithm."""

_FILE: Final = re.compile(r"^(?:~|\.{1,2})?[/\\]|^[A-Za-z]:[/\\]|://|\.[A-Za-z][A-Za-z0-9]{1,7}$")
_NUMBERED: Final = re.compile(r"\d+\.\w+$")

LONGEST_TEXT: Final = 100
"""Characters beyond which a text is no setting but something to be read."""


def words(name: str) -> list[str]:
    """List the words of a name, in small letters."""
    return [word.lower() for word in WORDS.findall(name)]


def is_unlogged(parameter: str, *, own: bool) -> bool:
    """Tell whether arguments of this name are no settings: paths, columns, colors, threads, data.

    Parameters
    ----------
    parameter : str
        The parameter's name.
    own : bool
        Whether it is one of the notebook's own functions, where ``a`` and ``values`` mean anything.

    Returns
    -------
    bool
        True for those.
    """
    small = parameter.lower()
    if small in _MODELS:
        return False
    parts = words(parameter)
    return (
        parameter.startswith("_")
        or small in NEVER
        or (bool(parts) and (parts[-1] in _LAST or parts[0] == "verbose"))
        or (own and parameter in _MEANINGLESS)
    )


def takes_lists(parameter: str) -> bool:
    """Tell whether a list that goes by this name is a setting: ``hidden_sizes``, ``betas``."""
    return any(word in _SHAPES for word in words(parameter))


def is_showing(function: str) -> bool:
    """Tell whether a function of this name shows, reads or keeps something: ``plot_roc``, ``load_data``, ``to_csv``."""
    parts = words(function)
    if parts[:1] == ["log"]:
        return parts[1:2] == [] or parts[1] not in _LOGARITHMS
    return bool(parts) and (parts[0] in _SHOWING or parts[-1] in _SHOWN)


def is_drawing(function: str) -> bool:
    """Tell whether a function of this name draws its arguments: what they are made of is a matter of the picture."""
    return any(word in _DRAWING for word in words(function)[:1])


def is_file_or_prose(text: str) -> bool:
    """Tell whether a text is the name of a file, an address, or something to be read: no word that sets something."""
    if not text.strip() or len(text) > LONGEST_TEXT or "\n" in text:
        return True
    return bool(_FILE.search(text)) and not _NUMBERED.search(text)
